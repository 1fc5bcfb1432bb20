#!/usr/bin/env python3
"""A Gatepost worker: one JSON line in for each event, one JSON line out.

    [handler.app.command]
    run = ["python3", "/etc/gatepost/worker.py"]
    mode = "worker"

Standard output carries the answers and nothing else: print for yourself to standard error.
"""

import json
import re
import sys


class Dead(Exception):
    """This event can never be handled: it goes to the dead letters."""


class Later(Exception):
    """Not now: try again after so many seconds."""

    def __init__(self, seconds):
        super().__init__(seconds)
        self.seconds = seconds


def handle(event):
    """What you want to do. An event may come twice: `event["id"]` is then the same."""
    if "payload" not in event:
        raise Dead(event.get("unreadable", "the body is empty"))
    print(event["type"], event["id"], file=sys.stderr)


def answer(line):
    """What is said about one line. Whatever is in it, the worker goes on."""
    # The id comes first: it can be told even where the rest cannot be read.
    found = re.match(rb'\{"id":"([0-9a-f-]{36})"', line)
    answered = {"id": found.group(1).decode() if found else ""}
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as err:  # It will be no better the next time.
        return answered | {"dead": f"the event cannot be read: {err}"}
    try:
        handle(event)
    except Dead as err:
        return answered | {"dead": str(err)}
    except Later as err:
        return answered | {"retry_after": err.seconds}
    except Exception as err:  # Anything else is tried again.
        return answered | {"ok": False, "error": f"{type(err).__name__}: {err}"}
    return answered | {"ok": True}


# Gatepost reads bodies to 1,000 levels.
sys.setrecursionlimit(5000)

# Ends when Gatepost closes the input.
for line in sys.stdin.buffer:
    print(json.dumps(answer(line)), flush=True)
