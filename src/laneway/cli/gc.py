"""`laneway gc`: delete old runs and give their room back."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import rich_click as click

from laneway.cli import _screen as screen
from laneway.cli._options import debug_option, json_option, store_option
from laneway.cli._stores import opened
from laneway.packages.depot import Collected, collect, held
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

    Packages that engines left in the store for workers on other machines go too, once nobody used them for AGE (two
    hours at least) and no run that is not over did. Safe while engines work. Runs that are not over stay, and inner
    runs whose outer run is not over.
    """
    seconds = age_from("--older-than", older_than)
    found = asyncio.run(_swept(store, seconds, dry_run=dry_run))
    if as_json:
        screen.print_json(found)
        return
    swept, sizes = found["swept"], found["sizes"]
    screen.print_table(
        ["", "deleted", "left"],
        [_counted(name, swept, sizes) for name in ("runs", "steps", "events", "artifacts")]
        + [_megabytes("artifact", swept, sizes), _counted("packages", swept, sizes)]
        + [_megabytes("package", swept, sizes)]
        + [["file MB", f"{found['freed_bytes'] / 1e6:,.1f}", f"{sizes.get('file_bytes', 0) / 1e6:,.1f}"]],
        right=["deleted", "left"],
    )


def _counted(name: str, swept: Mapping[str, int], sizes: Mapping[str, int]) -> list[str]:
    return [name, f"{swept[name]:,}", f"{sizes[name]:,}"]


def _megabytes(of: str, swept: Mapping[str, int], sizes: Mapping[str, int]) -> list[str]:
    name = f"{of}_bytes"
    return [f"{of} MB", f"{swept[name] / 1e6:,.1f}", f"{sizes[name] / 1e6:,.1f}"]


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
        packages = Collected() if dry_run else await collect(store, before=moment)
        left = msgspec.structs.asdict(await held(store))
        sizes = (await store.read("sizes"))[0]
        while not dry_run and sizes.get("free_bytes", 0) > _KEPT_FREE_BYTES:
            await store.sweep(before=0.0, limit=0)
            smaller = (await store.read("sizes"))[0]
            if smaller["free_bytes"] >= sizes["free_bytes"]:
                break
            sizes = smaller
    freed = max(0, before.get("file_bytes", 0) - sizes.get("file_bytes", 0))
    gone = {**swept, **msgspec.structs.asdict(packages)}
    return {"swept": gone, "sizes": {**sizes, **left}, "freed_bytes": freed}
