"""Who drives the runs of a store: a living engine, one that is gone without having said so, or nobody."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from laneway._core.records import ENDED
from laneway.ports import Store

__all__ = ["RunStanding", "with_standing"]

type RunStanding = Literal["driven", "gone", "free", "ended"]
"""`gone`: its engine died, or was silent for longer than its lease; whoever knows the workflow takes the run over."""


async def with_standing(store: Store, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs as the question `runs` answers them, each with its `standing` and `gone_since` added.

    A record says `running` from the moment an engine took the run until that or another engine writes its end. What
    the engine's death makes of that only its lease tells. `gone_since` is the epoch second at which the lease ended;
    None for an engine whose process is seen to be gone before that.
    """
    if not any(row["engine"] is not None and row["status"] not in ENDED for row in rows):
        return [_judged(row, {}) for row in rows]
    engines = {one["id"]: one for one in await store.read("engines")}
    return [_judged(row, engines) for row in rows]


def _judged(row: Mapping[str, Any], engines: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    standing: RunStanding = "driven"
    since: float | None = None
    if row["status"] in ENDED:
        standing = "ended"
    elif row["engine"] is None:
        standing = "free"
    elif (engine := engines.get(row["engine"])) is None or engine["gone"]:
        standing = "gone"
        if engine is not None and engine["left"] < 0:
            since = time.time() + engine["left"]
    return {**row, "standing": standing, "gone_since": since}
