#!/usr/bin/env python3
"""A Gatepost worker: one JSON line in for each event, one JSON line out.

    [handler.app.command]
    run = ["python3", "/etc/gatepost/worker.py"]
    mode = "worker"

Standard output carries the answers and nothing else: print for yourself to standard error.
"""

import json
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
        raise Dead("the body is not JSON")
    print(event["type"], event["id"], file=sys.stderr)


def answer(event):
    try:
        handle(event)
    except Dead as err:
        return {"id": event["id"], "dead": str(err)}
    except Later as err:
        return {"id": event["id"], "retry_after": err.seconds}
    except Exception as err:  # Anything else is tried again.
        return {"id": event["id"], "ok": False, "error": f"{type(err).__name__}: {err}"}
    return {"id": event["id"], "ok": True}


# Ends when Gatepost closes the input.
for line in sys.stdin.buffer:
    print(json.dumps(answer(json.loads(line))), flush=True)
