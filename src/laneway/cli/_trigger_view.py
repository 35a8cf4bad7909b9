"""How triggers, and the runs that they started, are shown."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.text import Text

from laneway.cli import _screen as screen
from laneway.cli._run_list import print_runs, standing_text
from laneway.engine.standing import with_standing
from laneway.engine.trigger_actions import tags_of
from laneway.engine.trigger_records import Trigger
from laneway.ports import Store

__all__ = ["plain", "print_trigger", "print_triggers", "runs_of", "starts_text", "tell"]

_VERBS = {"succeeded": "succeeds", "failed": "fails", "cancelled": "is cancelled"}


async def runs_of(store: Store, trigger: Trigger, *, limit: int) -> list[dict[str, Any]]:
    """The latest runs that a trigger started, newest first, with who drives them."""
    rows = await store.read("runs", tags=tags_of(trigger.name), limit=limit)
    return await with_standing(store, rows)


def plain(trigger: Trigger, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A trigger as plain data: what all have, what its kind has, and its last run."""
    found: dict[str, Any] = {
        "name": trigger.name,
        "kind": trigger.kind,
        "target": trigger.target,
        "parameters": trigger.parameters,
        "paused": trigger.paused,
    }
    if trigger.kind == "run":
        found |= {"follows": trigger.workflow, "on": trigger.on}
    elif trigger.kind == "files":
        found |= {"folder": trigger.folder, "pattern": trigger.pattern}
    else:
        found |= {
            "path": f"/triggers/{trigger.name}",
            "fields": trigger.fields,
            "key": trigger.key,
            "secret": trigger.secret,
            "signature": trigger.signature,
        }
    return {**found, "last": _told(runs[0]) if runs else None}


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": row["id"], "status": row["status"], "standing": row["standing"], "began": row["created"]}


def starts_text(trigger: Trigger) -> str:
    """What it waits for, in short."""
    if trigger.kind == "run":
        return f"{trigger.workflow} {' or '.join(_VERBS[one] for one in trigger.on)}"
    if trigger.kind == "files":
        return f"{trigger.pattern} appears in {trigger.folder}"
    return f"POST /triggers/{trigger.name}"


def tell(trigger: Trigger, runs: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Say where a trigger stands."""
    if as_json:
        screen.print_json(plain(trigger, runs))
        return
    state = "paused" if trigger.paused else starts_text(trigger)
    screen.output().print(f"trigger {trigger.name}: {screen.without_controls(state)}", soft_wrap=True)


def print_triggers(found: Sequence[tuple[Trigger, Sequence[Mapping[str, Any]]]]) -> None:
    """One line per trigger: what starts it, and how the last run went."""
    now = time.time()
    rows: list[list[str | Text]] = [
        [
            trigger.name,
            "paused" if trigger.paused else "active",
            screen.without_controls(starts_text(trigger)),
            standing_text(runs[0], now) if runs else "",
            screen.ago(now - runs[0]["created"]) if runs else "",
            screen.without_controls(trigger.target),
        ]
        for trigger, runs in found
    ]
    screen.print_table(["trigger", "state", "starts when", "last", "began", "target"], rows)


def print_trigger(trigger: Trigger, runs: Sequence[Mapping[str, Any]]) -> None:
    """All about one trigger, and the runs that it started."""
    about = plain(trigger, runs)
    del about["last"]
    for name, value in about.items():
        if value in ("", {}):
            continue
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        screen.output().print(f"{name:<11} {screen.without_controls(text)}", soft_wrap=True)
    if runs:
        screen.output().print()
        print_runs(runs)
    else:
        screen.errors().print("it has started no run yet", soft_wrap=True)
