"""What a store holds, as `laneway doctor` tells it: counts, sizes, ages, and the engines that are registered."""

import re
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid7

from rich.text import Text

from laneway._core.errors import LanewayError
from laneway.cli import _screen as screen
from laneway.cli._options import store_url
from laneway.cli._stores import is_missing
from laneway.ports import Store
from laneway.registry import store_from
from laneway.settings import settings_from
from laneway.stores._processes import here

__all__ = ["report_on", "report_rows", "without_password"]


async def report_on(given: str | None) -> dict[str, Any]:
    """The store that is named or set, as plain data. Never raises for a store that cannot be reached."""
    found: dict[str, Any] = {"url": "", "state": "", "runs": {}, "error": ""}
    try:
        url = store_url(given)
        found["url"] = without_password(url)
        store = store_from(url, durability="commit")
        if is_missing(store):
            found["state"] = "not there yet; the first run makes it"
            return found
        found.update(await _reached(store))
    except LanewayError as error:
        found["error"] = str(error)
    return found


async def _reached(store: Store) -> dict[str, Any]:
    card = here(str(uuid7()))
    await store.open(card)
    try:
        counts = await store.read("counts")
        (sizes,) = await store.read("sizes")
        (ages,) = await store.read("ages")
        engines = [one for one in await store.read("engines") if one["id"] != card.id]
    finally:
        await store.close()
    return {
        "state": "reachable",
        "runs": {row["status"]: row["runs"] for row in counts},
        "sizes": sizes,
        **ages,
        "engines": [{name: one[name] for name in ("id", "host", "pid", "left", "gone")} for one in engines],
        "retention_seconds": settings_from().retention,
    }


def report_rows(store: Mapping[str, Any]) -> list[tuple[str, str | Text]]:
    """The same as lines for people."""
    state = Text(store["error"], style="red") if store["error"] else Text(store["state"])
    rows: list[tuple[str, str | Text]] = [("url", store["url"]), ("state", state)]
    if store["state"] != "reachable" or store["error"]:
        return rows
    sizes = store["sizes"]
    runs = ", ".join(f"{count:,} {status}" for status, count in store["runs"].items()) or "none"
    rows += [
        ("schema", str(sizes.get("schema", ""))),
        ("runs", runs),
        ("oldest", _oldest(store)),
        ("rows", ", ".join(f"{sizes[name]:,} {name}" for name in ("steps", "events", "documents"))),
        ("artifacts", _artifacts(sizes)),
        ("file", _file(sizes)),
        ("retention", _retention(store["retention_seconds"])),
        ("engines", _engines(store["engines"])),
    ]
    return rows


def _oldest(store: Mapping[str, Any]) -> str:
    if store["oldest"] is None:
        return ""
    now = time.time()
    ended = store["oldest_end"]
    more = "" if ended is None else f"; the oldest finished one ended {screen.ago(now - ended)}"
    return f"began {screen.ago(now - store['oldest'])}{more}"


def _artifacts(sizes: Mapping[str, int]) -> str:
    return f"{sizes['artifacts']:,}, {_megabytes(sizes['artifact_bytes'])}" if sizes["artifacts"] else "none"


def _file(sizes: Mapping[str, int]) -> str:
    if "file_bytes" not in sizes:
        return ""
    parts = [_megabytes(sizes["file_bytes"])]
    if "free_bytes" in sizes:
        parts.append(f"{_megabytes(sizes['free_bytes'])} of it free")
    if "wal_bytes" in sizes:
        parts.append(f"write-ahead log {_megabytes(sizes['wal_bytes'])}")
    return ", ".join(parts)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _retention(seconds: float | None) -> str:
    if seconds is None:
        return "off: finished runs are kept until `laneway gc`; LANEWAY_RETENTION=30d deletes them by itself"
    return f"{seconds:,.0f} s: engines delete runs that ended before"


def _engines(engines: list[Mapping[str, Any]]) -> str | Text:
    alive = [one for one in engines if not one["gone"]]
    gone = len(engines) - len(alive)
    listed = f": pid {', '.join(str(one['pid']) for one in alive[:5])}" if alive else ""
    text = f"{len(alive)} alive{listed}{' and more' if len(alive) > 5 else ''}"
    if not gone:
        return text
    return Text.assemble(text, (f", {gone} gone; their runs can be taken over", "yellow"))


def without_password(url: str) -> str:
    """A URL as it may be shown: people paste what commands print into questions to others."""
    return re.sub(r"(://[^:/@\s]*):[^@/\s]*@", r"\1:***@", url)
