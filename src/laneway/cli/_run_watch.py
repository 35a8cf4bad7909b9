"""Following a run from another program, whoever drives it."""

import asyncio
import time
from typing import Any

import msgspec
from rich.text import Text

from laneway._core.records import ENDED
from laneway.cli import _screen as screen
from laneway.cli._stores import full_id, opened
from laneway.engine.standing import with_standing

__all__ = ["watched"]

_POLL_SECONDS = 0.25


async def watched(given: str | None, run: str, *, as_json: bool) -> str:
    """Print events as they come, as lines for people or one JSON object a line; the run's final status."""
    console = screen.output()
    said = False
    async with opened(given) as store:
        wanted = await full_id(store, run)
        cursor = 0
        while True:
            row = (await with_standing(store, await store.read("run", run=wanted)))[0]
            answers = await store.read("events", run=wanted, after=cursor, limit=1000)
            for answer in answers:
                event = answer["event"]
                cursor = event.seq
                if as_json:
                    print(msgspec.json.encode(event._asdict()).decode(), flush=True)
                else:
                    console.print(_event_line(event), soft_wrap=True)
            if not answers and row["status"] in ENDED:
                return str(row["status"])
            if not answers:
                said = said or _said_that_it_stands_still(row)
                await asyncio.sleep(
                    _POLL_SECONDS
                )  # a store does not tell those who only look when a run moves


def _said_that_it_stands_still(row: dict[str, Any]) -> bool:
    if row["standing"] == "driven":
        return False
    why = (
        "its program is gone"
        if row["standing"] == "gone"
        else f"it is {row['status']} and no program drives it"
    )
    screen.say(
        screen.errors(),
        f"run {row['id']}: {why}. `laneway runs resume {row['id']}` goes on with it; waiting.",
    )
    return True


def _event_line(event: Any) -> Text:
    what, _, verb = event.kind.partition("_")
    moment = time.strftime("%H:%M:%S", time.localtime(event.at))
    name = "run" if what == "run" else event.task if event.item is None else f"{event.task}[{event.item}]"
    error: dict[str, Any] = event.data.get("error") or {}
    more = f": {error.get('type', '')}: {error.get('message', '')}" if error else ""
    style = {"failed": "red", "succeeded": "green", "retrying": "yellow"}.get(verb, "")
    return Text.assemble(
        (f"{moment} ", "bright_black"), f"{name} ", (verb, style), screen.without_controls(more)
    )
