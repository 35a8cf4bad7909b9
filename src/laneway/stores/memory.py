"""The memory store: keeps everything in this process and nothing beyond it. For tests and throw-away runs."""

from collections.abc import Callable, Sequence
from typing import Any

from laneway._core.errors import KeyReused, RunNotFound
from laneway._core.events import Event, EventRow
from laneway._core.records import ENDED, RunRecord, SavedRun, StepRow, Submission, Transition
from laneway.ports import EngineCard
from laneway.stores._rows import event_of, run_answer, run_id, step_answer

__all__ = ["MemoryStore"]


class MemoryStore:
    """Store port in plain dictionaries; used from one event loop."""

    url = "memory://"

    def __init__(self) -> None:
        self._engine = ""
        self._runs: dict[bytes, RunRecord] = {}
        self._keys: dict[str, bytes] = {}
        self._steps: dict[bytes, dict[tuple[str, int], StepRow]] = {}
        self._events: list[EventRow] = []
        self._wishes: list[tuple[str, str]] = []

    async def open(self, engine: EngineCard) -> None:
        self._engine = engine.id

    async def submit(self, submission: Submission) -> RunRecord:
        if submission.key is not None and (known := self._keys.get(submission.key)) is not None:
            record = self._runs[known]
            if record.workflow != submission.workflow:
                raise KeyReused(
                    key=submission.key,
                    run=run_answer(record)["id"],
                    existing=record.workflow,
                    workflow=submission.workflow,
                )
            return record
        record = RunRecord(
            submission.run,
            submission.workflow,
            submission.version,
            submission.reference,
            "running",
            submission.key,
            self._engine,
            submission.context,
            None,
            None,
            submission.created,
            None,
            submission.fingerprints,
        )
        self._runs[submission.run] = record
        self._steps[submission.run] = {}
        if submission.key is not None:
            self._keys[submission.key] = submission.run
        self._events.append(EventRow(submission.run, "run_submitted", None, -1, submission.created))
        return record._replace(is_new=True)

    def commit(self, transition: Transition, answered: Callable[[BaseException | None], None]) -> None:
        steps = self._steps[transition.run]
        for row in transition.steps:
            steps[row.task, row.item] = row
        self._events += transition.events
        end = transition.end
        if end is not None:
            self._runs[transition.run] = self._runs[transition.run]._replace(
                status=end.status, ended=end.ended, final=end.context, error=end.error, engine=None
            )
        answered(None)

    async def claim(self, *, run: str | None = None, workflows: Sequence[str] = (), limit: int = 1) -> list[SavedRun]:
        taken: list[SavedRun] = []
        for record in list(self._runs.values()):
            if record.engine is not None or record.status in ENDED or len(taken) == limit:
                continue
            if (record.run == run_id(run)) if run is not None else record.workflow in workflows:
                mine = record._replace(engine=self._engine, status="running")
                self._runs[record.run] = mine
                taken.append(SavedRun(mine, list(self._steps[record.run].values())))
        return taken

    async def renew(self, *, lease: float) -> list[tuple[str, str]]:
        wishes, self._wishes = self._wishes, []
        return wishes

    async def ask(self, run: str, wish: str) -> None:
        self._record(run)
        self._wishes.append((run, wish))

    async def read(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        return _QUERIES[query](self, **arguments)

    async def close(self) -> None:
        for record in self._runs.values():
            if record.engine == self._engine:
                self._runs[record.run] = record._replace(engine=None)

    def _record(self, run: str) -> RunRecord:
        record = self._runs.get(run_id(run))
        if record is None:
            raise RunNotFound(run=run, store=self.url)
        return record

    def _read_runs(
        self, *, workflow: str | None = None, status: str | None = None, limit: int = 50, key: str | None = None
    ) -> list[dict[str, Any]]:
        found = [
            run_answer(one)
            for one in reversed(self._runs.values())
            if workflow in (None, one.workflow) and status in (None, one.status) and key in (None, one.key)
        ]
        return found[:limit]

    def _read_run(self, *, run: str) -> list[dict[str, Any]]:
        return [run_answer(self._record(run))]

    def _read_steps(self, *, run: str) -> list[dict[str, Any]]:
        return [step_answer(one) for one in self._steps[self._record(run).run].values()]

    def _read_saved(self, *, run: str) -> list[dict[str, Any]]:
        record = self._record(run)
        return [{"saved": SavedRun(record, list(self._steps[record.run].values()))}]

    def _read_events(self, *, run: str | None = None, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        wanted = None if run is None else run_id(run)
        found: list[dict[str, Any]] = []
        for seq in range(after, len(self._events)):
            row = self._events[seq]
            if wanted in (None, row.run):
                found.append(_as_answer(event_of(seq + 1, *row)))
                if len(found) == limit:
                    break
        return found

    def _read_counts(self) -> list[dict[str, Any]]:
        counts: dict[str, int] = {}
        for record in self._runs.values():
            counts[record.status] = counts.get(record.status, 0) + 1
        return [{"status": status, "runs": number} for status, number in sorted(counts.items())]


def _as_answer(event: Event) -> dict[str, Any]:
    return {"event": event}


_QUERIES: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "runs": MemoryStore._read_runs,  # noqa: SLF001 - same class
    "run": MemoryStore._read_run,  # noqa: SLF001
    "steps": MemoryStore._read_steps,  # noqa: SLF001
    "saved": MemoryStore._read_saved,  # noqa: SLF001
    "events": MemoryStore._read_events,  # noqa: SLF001
    "counts": MemoryStore._read_counts,  # noqa: SLF001
}
