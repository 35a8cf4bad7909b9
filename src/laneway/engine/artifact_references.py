"""References to artifacts in values: finding them, making them, refusing those that lead nowhere."""

# What JSON holds has no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from laneway._core.artifacts import MARK, ArtifactMissing, named
from laneway._core.errors import JsonInvalid
from laneway._core.jsonvalue import check
from laneway.artifacts import Desk, plain

__all__ = ["as_json", "digests_in", "missing_error", "refuse_missing"]

_REFERENCE = re.compile(rb'"\$artifact"\s*:\s*"sha256:([0-9a-f]{64})"')


def digests_in(bodies: Iterable[bytes]) -> list[str]:
    """The digests of all references in encoded JSON, each once. Text that looks like one has its quotes escaped."""
    found: dict[str, None] = {}
    for body in bodies:
        if MARK in body:
            found.update(dict.fromkeys(one.decode() for one in _REFERENCE.findall(body)))
    return list(found)


def as_json[T](value: T, root: str, desk: Desk | None) -> T:
    """`value` as JSON can hold it, with references in the place of artifacts.

    Args:
        value: anything.
        root: what to call it in errors.
        desk: where artifacts are put that were made elsewhere; None where none can be kept.

    Raises:
        JsonInvalid: JSON cannot hold it.
    """
    try:
        check(value, root)
    except JsonInvalid:
        if desk is None:
            raise
        value = plain(value, desk)
        check(value, root)
    return value


def missing_error(digest: str, folder: str, *, is_far: bool = False) -> ArtifactMissing:
    """What to raise for an artifact that the store has not got."""
    if is_far:
        advice = "Start workers with --store URL, naming the engine's store: else what their tasks make stays there."
    else:
        advice = "Put it there with `await engine.artifacts.put(...)`; a sweep takes what no run uses."
    where = f"in {folder}" if folder else "in this store"
    return ArtifactMissing(hash=f"sha256:{digest}", where=where, advice=advice)


def refuse_missing(
    bodies: Iterable[bytes], missing: Sequence[str], folder: str, *, is_far: bool = False
) -> None:
    """Raise for what is truly a reference: JSON that merely has such a key is the user's own."""
    waiting: list[Any] = [msgspec.json.decode(body) for body in bodies]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found = named(value)
            if found is not None and found[0] in missing:
                raise missing_error(found[0], folder, is_far=is_far)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
