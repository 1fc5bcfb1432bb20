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
  if (!("payload" in event)) throw new Dead("the body is not JSON");
  console.error(event.type, event.id);
}

async function answer(event) {
  try {
    await handle(event);
    return { id: event.id, ok: true };
  } catch (err) {
    if (err instanceof Dead) return { id: event.id, dead: err.message };
    if (err instanceof Later) return { id: event.id, retry_after: err.seconds };
    // Anything else is tried again.
    return { id: event.id, ok: false, error: String(err) };
  }
}

// Ends when Gatepost closes the input. Events are handled side by side; to take them one after
// the other, set `concurrency = 1` in the handler's table.
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  answer(JSON.parse(line)).then((said) => process.stdout.write(JSON.stringify(said) + "\n"));
}
