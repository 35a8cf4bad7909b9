"""What the memory stores of one process that belong together share."""

import time
from collections.abc import Callable, Collection, Mapping

from laneway._core.events import EventRow
from laneway._core.records import RunRecord, Signal, StepRow, Wish
from laneway.ports import EngineCard
from laneway.stores._artifact_rows import DAY
from laneway.stores._rows import first_id, run_id

__all__ = ["Records", "ages_of", "matches"]


class Records:
    """What the memory stores of one process that belong together share."""

    def __init__(self) -> None:
        self.runs: dict[bytes, RunRecord] = {}
        self.keys: dict[str, bytes] = {}
        self.steps: dict[bytes, dict[tuple[str, int], StepRow]] = {}
        self.signals: dict[bytes, dict[str, Signal]] = {}
        self.events: list[EventRow] = []
        self.first = 1
        """The cursor of the first event that is still there."""
        self.wishes: dict[tuple[bytes, str, str], Wish] = {}
        self.engines: dict[str, tuple[EngineCard, float, Callable[[], None] | None]] = {}
        self.documents: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.artifacts: dict[str, tuple[bytes, float]] = {}
        """Per digest the content, and when it came."""
        self.artifact_uses: dict[bytes, set[str]] = {}
        """Per run the digests it uses."""

    def tidy_artifacts(self) -> dict[str, int]:
        """Drop what no run uses, and what was put in by hand a day ago."""
        uses, runs_before = self.artifact_uses, first_id(time.time() - DAY)
        for run in [one for one in uses if one < runs_before and one not in self.runs]:
            del uses[run]
        used = set[str]().union(*uses.values())
        gone = [self.artifacts.pop(one)[0] for one in list(self.artifacts) if one not in used]
        return {"artifacts": len(gone), "artifact_bytes": sum(map(len, gone))}

    def artifact_sizes(self) -> dict[str, int]:
        """How many artifacts there are, and their bytes."""
        sizes = [len(body) for body, _ in self.artifacts.values()]
        return {"artifacts": len(sizes), "artifact_bytes": sum(sizes)}


def matches(
    one: RunRecord,
    *,
    tags: Mapping[str, str] | None = None,
    parent: str | None = None,
    before: str | None = None,
    since: float | None = None,
    search: str | None = None,
) -> bool:
    """Whether a run is what the question `runs` asks for, as far as that is not a plain comparison."""
    return (
        (parent is None or (one.parent is not None and one.parent.run == run_id(parent)))
        and (before is None or one.run < run_id(before))
        and (since is None or one.run >= first_id(since))
        and all(one.tags.get(name) == value for name, value in (tags or {}).items())
        and (search is None or any(search.casefold() in text.casefold() for text in _texts(one)))
    )


def _texts(one: RunRecord) -> list[str]:
    encoded = [one.context.decode(), "" if one.error is None else one.error.decode()]
    return [one.workflow, one.key or "", *one.tags, *one.tags.values(), *encoded]


def ages_of(runs: Collection[RunRecord], may_go: Callable[[RunRecord], bool]) -> dict[str, float | None]:
    """When the oldest run began, and when the first of those ended that may go."""
    ends = [one.ended for one in runs if one.ended is not None and may_go(one)]
    return {"oldest": min((one.created for one in runs), default=None), "oldest_end": min(ends, default=None)}
