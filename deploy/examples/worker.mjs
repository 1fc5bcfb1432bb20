// A Gatepost worker: one JSON line in for each event, one JSON line out.
//
//     [handler.app.command]
//     run = ["node", "/etc/gatepost/worker.mjs"]
//     mode = "worker"
//
// Standard output carries the answers and nothing else: write for yourself with console.error.

import { createInterface } from "node:readline";

/** This event can never be handled: it goes to the dead letters. */
class Dead extends Error {}

/** Not now: try again after so many seconds. */
class Later extends Error {
  constructor(seconds) {
    super();
    this.seconds = seconds;
  }
}

/** What you want to do. An event may come twice: `event.id` is then the same. */
async function handle(event) {
  if (!("payload" in event)) throw new Dead(event.unreadable ?? "the body is empty");
  console.error(event.type, event.id);
}

/** What is said about one line. Whatever is in it, the worker goes on. */
async function answer(line) {
  // The id comes first: it can be told even where the rest cannot be read.
  const id = /^\{"id":"([0-9a-f-]{36})"/.exec(line)?.[1] ?? "";
  let event;
  try {
    event = JSON.parse(line);
  } catch (err) {
    // It will be no better the next time.
    return { id, dead: `the event cannot be read: ${err.message}` };
  }
  try {
    await handle(event);
    return { id, ok: true };
  } catch (err) {
    if (err instanceof Dead) return { id, dead: err.message };
    if (err instanceof Later) return { id, retry_after: err.seconds };
    // Anything else is tried again.
    return { id, ok: false, error: String(err) };
  }
}

// Ends when Gatepost closes the input. Events are handled side by side; to take them one after
// the other, set `concurrency = 1` in the handler's table.
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  answer(line).then((said) => process.stdout.write(JSON.stringify(said) + "\n"));
}
