"""Packages in a store: engines leave them there for workers on other machines; what nobody needs any more goes.

A package is a document `package` under its content's hash, and a document `package-use` beside it says who used it
last. Whoever adds or removes the one first changes the other, so that two who meet see each other: an engine that
relies on a package has noted its use, and only what was not used for hours is removed.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from laneway._core.errors import PackageUnreadable
from laneway._core.records import ENDED
from laneway.packages.sending import content_of, packed
from laneway.ports import Store, Unit

__all__ = ["NOTE_SECONDS", "Collected", "collect", "fetch", "held", "leave"]

NOTE_SECONDS = 1800.0
"""For how long an engine may send orders for a package after it noted its use."""

_KIND, _USE = "package", "package-use"
_UNUSED_SECONDS = 4 * NOTE_SECONDS
"""However young a package may be for its owner, it stays for so long: clocks differ, and orders are on their way."""
_TRIES = 20


class _Use(msgspec.Struct, frozen=True):
    """What is known of a package in the store."""

    at: float
    """Seconds since the epoch when an engine last said that it needs it."""
    workflows: tuple[str, ...]
    """Those whose steps sent it orders."""
    label: str
    size_bytes: int
    is_there: bool
    """False while somebody leaves it, or takes it away."""


class Collected(msgspec.Struct, frozen=True):
    """How many packages, and their bytes."""

    packages: int = 0
    package_bytes: int = 0


async def leave(
    store: Store, unit: Unit, workflow: str = "", *, now: Callable[[], float] = time.time
) -> None:
    """Have a package in the store, and note that steps of a workflow use it: for `NOTE_SECONDS` it is safe there.

    Raises:
        PackageUnreadable: its files are not those that were loaded, or others kept changing what is there.
    """
    content, archive = content_of(unit), b""
    for _ in range(_TRIES):
        use, version = await _use_of(store, content)
        workflows = tuple(sorted({workflow, *(use.workflows if use else ())}))
        if use is not None and use.is_there:
            noted = _Use(now(), workflows, unit.name, use.size_bytes, is_there=True)
            if await _noted(store, content, noted, version):
                return
            continue
        archive = archive or await asyncio.to_thread(packed, unit)
        coming = _Use(now(), workflows, unit.name, len(archive), is_there=False)
        begun = await _noted(store, content, coming, version)
        if begun:
            await store.keep(_KIND, content, archive)
            if await _noted(store, content, msgspec.structs.replace(coming, is_there=True), begun):
                return
    reason = "other engines kept changing what the store has of it"
    raise PackageUnreadable(package=unit.name, reason=reason, advice="Try again")


async def fetch(store: Store, content: str) -> bytes | None:
    """The `.lane` file with that content, if it is in the store."""
    found = await store.read("documents", kind=_KIND, name=content)
    return bytes(found[0]["body"]) if found else None


async def held(store: Store) -> Collected:
    """What is in the store."""
    uses = [use for _, use, _ in await _uses(store)]
    return Collected(len(uses), sum(use.size_bytes for use in uses))


async def collect(store: Store, *, before: float, now: Callable[[], float] = time.time) -> Collected:
    """Remove packages that nobody used since the epoch second `before` and no unfinished run used. Safe beside engines.

    What was used within the last two hours stays in any case.
    """
    found = await _uses(store)
    if not found:
        return Collected()
    unfinished = [one["status"] for one in await store.read("counts") if one["status"] not in ENDED]
    limit = min(before, now() - _UNUSED_SECONDS)
    gone = [
        use
        for content, use, version in found
        if use.at < limit
        and not await _is_needed(store, use, unfinished)
        and await _is_taken(store, content, use, version)
    ]
    return Collected(len(gone), sum(use.size_bytes for use in gone))


async def _is_needed(store: Store, use: _Use, unfinished: Iterable[str]) -> bool:
    """Whether a run that is not over may have used the package: one of its workflows', begun before its last use."""
    latest = _first_id(use.at + 2 * NOTE_SECONDS)
    for status in unfinished:
        for workflow in use.workflows:
            if await store.read("runs", workflow=workflow or None, status=status, before=latest, limit=1):
                return True
    return False


async def _is_taken(store: Store, content: str, use: _Use, version: int) -> bool:
    """Take a package away, unless somebody needs it in this very moment."""
    archives = await store.read("documents", kind=_KIND, name=content)
    marked = await _noted(store, content, msgspec.structs.replace(use, is_there=False), version)
    if not marked:
        return False
    if archives and await store.keep(_KIND, content, None, version=archives[0]["version"]) is None:
        return False
    await store.keep(_USE, content, None, version=marked)
    return True


async def _use_of(store: Store, content: str) -> tuple[_Use | None, int]:
    rows = await store.read("documents", kind=_USE, name=content)
    return (_read(rows[0]), rows[0]["version"]) if rows else (None, 0)


async def _uses(store: Store) -> list[tuple[str, _Use, int]]:
    rows = await store.read("documents", kind=_USE)
    return [(row["name"], use, row["version"]) for row in rows if (use := _read(row)) is not None]


def _read(row: Mapping[str, Any]) -> _Use | None:
    """What a document says; None where another release of Laneway wrote it."""
    try:
        return msgspec.json.decode(row["body"], type=_Use)
    except msgspec.DecodeError:
        return None


async def _noted(store: Store, content: str, use: _Use, version: int) -> int | None:
    """The new version, or None where somebody else was first."""
    return await store.keep(_USE, content, msgspec.json.encode(use), version=version)


def _first_id(moment: float) -> str:
    """The smallest id a run that begins then can have."""
    return str(UUID(bytes=max(0, int(moment * 1000)).to_bytes(6) + bytes(10)))
