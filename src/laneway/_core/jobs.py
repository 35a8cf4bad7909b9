"""Recurring work as records: a job, where it stands, and each of its due moments that was started or is owed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from laneway._core.errors import StoreError
from laneway._core.timetable import Misfire, Timetable, jitter_of, problem_with

__all__ = [
    "FIELD_TYPES",
    "OPEN",
    "Agenda",
    "Change",
    "Firing",
    "Job",
    "JobState",
    "Lead",
    "Move",
    "NotLeading",
    "job_name_problem",
    "job_problems",
    "start_of",
]

OPEN = ("owed", "running")
"""Statuses of a firing that still has to be seen to its end."""


FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "any": (object,),
}
"""What a field of a call's body may hold, by the names of JSON Schema. With a `?` after it it may be missing."""


class NotLeading(StoreError):
    """Another engine schedules on this store now."""

    code = "LW-SCHED-003"
    template = "term {term} of the scheduler is over: another engine of the store schedules now. Nothing was written."


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """A workflow with parameters and the times it is due."""

    name: str
    target: str
    """Where another engine finds the workflow: `module:name`, a file, a package."""
    parameters: dict[str, Any] = {}
    cron: str | None = None
    every_seconds: float | None = None
    at: datetime | None = None
    timezone: str = "UTC"
    anchor: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    misfire: Misfire = "once"
    misfire_limit: int = 100
    jitter_seconds: float = 0.0
    overlap: bool = False
    """Whether a due moment starts although the last run goes on; such a job does not hold up the line."""
    parallel_safe: bool = False
    """Whether it may run together with others that are due at the same moment."""
    timeout_seconds: float | None = 3600.0
    """After this its run is cancelled and the line goes on; None: never."""
    priority: int = 0
    passing: bool = False
    """Whether the job is forgotten once it ran; for one-off work such as a debounced start."""
    origin: str = "code"
    """Who added it: `code`, `command`, or a package's name."""

    @property
    def timetable(self) -> Timetable:
        """When it is due."""
        every = None if self.every_seconds is None else timedelta(seconds=self.every_seconds)
        return Timetable(self.cron, every, self.at, self.timezone, self.anchor)

    @property
    def jitter(self) -> timedelta:
        """The most that a start is delayed."""
        return timedelta(seconds=self.jitter_seconds)

    def same_times(self, other: Job) -> bool:
        """Whether both are due at the same moments; the anchor of an interval does not count."""
        mine = (self.cron, self.every_seconds, self.at, self.timezone, self.jitter_seconds)
        return mine == (other.cron, other.every_seconds, other.at, other.timezone, other.jitter_seconds)


class JobState(NamedTuple):
    """A job and where it stands."""

    job: Job
    paused: bool = False
    due: datetime | None = None
    """The next due moment; None when there is none left."""
    start: datetime | None = None
    """The same with its jitter."""
    missed: int = 0
    last_due: datetime | None = None
    last_status: str | None = None
    last_run: str | None = None


class Firing(NamedTuple):
    """One due moment of one job that is or was to be run. `key` is the idempotency key of its run."""

    name: str
    due: datetime
    status: str = "owed"
    """`owed`, `running`, then the run's status, or `timed_out`, `overlapped`, `refused` (it could not be started)."""
    run: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    reason: str = ""
    why: str = "due"
    """`due`, `now` (asked for) or `backfill`."""

    @property
    def key(self) -> str:
        """Tells this due moment's run from all others."""
        return f"schedule:{self.name}@{self.due.astimezone(UTC).isoformat()}"


class Move(NamedTuple):
    """A job whose due moments up to `due` have been dealt with. Counts only if it still stands at `seen`."""

    name: str
    seen: datetime
    due: datetime | None
    start: datetime | None
    run: Sequence[datetime] = ()
    """Due moments to start."""
    missed: int = 0
    alone: bool = True
    """Firings of it are recorded as overlapped while an earlier one is open."""


class Change(NamedTuple):
    """What is written in one transaction."""

    define: Sequence[tuple[JobState, bool]] = ()
    """Jobs to add or replace; True sets where they stand as well."""
    forget: Sequence[str] = ()
    moves: Sequence[Move] = ()
    owe: Sequence[Firing] = ()
    """Firings to add, each unless its due moment is known already."""
    settle: Sequence[Firing] = ()


class Agenda(NamedTuple):
    """What is due by now, earliest first, and when to look again."""

    due: list[JobState]
    next: datetime | None


class Lead(NamedTuple):
    """Who schedules on a store. `term` grows with every change of hands; `left` is what is left of the lease."""

    mine: bool
    term: int
    left: float
    host: str = ""
    pid: int = 0


def start_of(job: Job, due: datetime | None) -> datetime | None:
    """When a due moment starts, with the job's jitter."""
    return None if due is None else due + jitter_of(job.name, due, job.jitter)


def job_name_problem(name: str) -> str | None:
    """Why nothing can have this name, or None."""
    if name.strip() and len(name) <= 128 and name.isprintable():
        return None
    return "a name is one line of 1 to 128 characters"


def job_problems(job: Job) -> list[str]:
    """Every mistake in a job."""
    problems = [] if (problem := problem_with(job.timetable)) is None else [problem]
    if (problem := job_name_problem(job.name)) is not None:
        problems.append(problem)
    if job.misfire not in ("skip", "once", "all"):
        problems.append(f"misfire={job.misfire!r}: use skip, once or all")
    if not 1 <= job.misfire_limit <= 100_000:
        problems.append(f"misfire_limit={job.misfire_limit}: use 1 to 100,000")
    if not 0 <= job.jitter_seconds < float("inf"):
        problems.append(f"jitter of {job.jitter_seconds} seconds: use 0 or more")
    if job.timeout_seconds is not None and not 0 < job.timeout_seconds < float("inf"):
        problems.append(f"timeout of {job.timeout_seconds} seconds: use more than 0, or None")
    return problems
