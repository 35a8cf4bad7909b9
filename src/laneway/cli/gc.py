"""`laneway gc`: delete old runs and give their room back."""

import asyncio
import time
from typing import Any

import rich_click as click

from laneway.cli import _screen as screen
from laneway.cli._options import debug_option, json_option, store_option
from laneway.cli._stores import opened
from laneway.settings import age_from

__all__ = ["gc"]

_KEPT_FREE_BYTES = 4 * 1024 * 1024


@click.command()
@click.option(
    "--older-than",
    required=True,
    metavar="AGE",
    help="Age since the run's end: a number with s, m, h, d or w, as 30d.",
)
@click.option("--dry-run", is_flag=True, help="Only show what the store holds.")
@store_option
@json_option
@debug_option
def gc(older_than: str, dry_run: bool, store: str | None, as_json: bool) -> None:
    """Delete runs that ended longer ago than AGE, with their steps, events, tags, signals and artifacts.

    Safe while engines work. Runs that are not over stay, and inner runs whose outer run is not over.
    """
    seconds = age_from("--older-than", older_than)
    found = asyncio.run(_swept(store, seconds, dry_run=dry_run))
    if as_json:
        screen.print_json(found)
        return
    swept, sizes = found["swept"], found["sizes"]
    screen.print_table(
        ["", "deleted", "left"],
        [[name, f"{swept[name]:,}", f"{sizes[name]:,}"] for name in ("runs", "steps", "events", "artifacts")]
        + [["artifact MB", f"{swept['artifact_bytes'] / 1e6:,.1f}", f"{sizes['artifact_bytes'] / 1e6:,.1f}"]]
        + [["file MB", f"{found['freed_bytes'] / 1e6:,.1f}", f"{sizes.get('file_bytes', 0) / 1e6:,.1f}"]],
        right=["deleted", "left"],
    )


async def _swept(given: str | None, seconds: float, *, dry_run: bool) -> dict[str, Any]:
    swept = {"runs": 0, "steps": 0, "events": 0, "artifacts": 0, "artifact_bytes": 0}
    async with opened(given) as store:
        before = (await store.read("sizes"))[0]
        moment = time.time() - seconds
        while not dry_run:
            once = await store.sweep(before=moment)
            swept = {name: swept[name] + once.get(name, 0) for name in swept}
            if once["runs"] == 0:
                break
        sizes = (await store.read("sizes"))[0]
        while not dry_run and sizes.get("free_bytes", 0) > _KEPT_FREE_BYTES:
            await store.sweep(before=0.0, limit=0)
            left = (await store.read("sizes"))[0]
            if left["free_bytes"] >= sizes["free_bytes"]:
                break
            sizes = left
    freed = max(0, before.get("file_bytes", 0) - sizes.get("file_bytes", 0))
    return {"swept": swept, "sizes": sizes, "freed_bytes": freed}
