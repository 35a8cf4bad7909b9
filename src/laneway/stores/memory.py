"""The memory store: keeps everything in this process and nothing beyond it. For tests and throw-away runs."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from laneway._core.errors import RunNotFound, StoreError, StoreFenced
from laneway._core.events import EventRow
from laneway._core.records import ENDED, RunRecord, SavedRun, Signal, Submission, Transition, Wish
from laneway._core.transitions import TERMINAL
from laneway.ports import Answer, EngineCard, Standing
from laneway.stores._memory_records import Records, ages_of, matches
from laneway.stores._processes import is_gone
from laneway.stores._rows import (
    event_of,
    new_record,
    refused_key,
    run_answer,
    run_id,
    signal_answer,
    step_answer,
)
from laneway.stores._trouble import StepEnded
from laneway.stores.questions import checked

__all__ = ["MemoryStore"]

type Answers = list[dict[str, Any]]


class MemoryStore:
    """Store port in plain dictionaries; used from one event loop.

    Args:
        clock: what leases are counted by.
    """

    url = "memory://"

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = ""
        self._card = EngineCard("", "", 0, 0.0)
        self._clock = clock
        self._records = Records()

    def beside(self, *, clock: Callable[[], float] | None = None) -> Self:
        """Another store on the same records, for another engine of this process."""
        other = type(self)(clock=self._clock if clock is None else clock)
        other._records = self._records
        return other

    # ---- life

    async def open(
        self, engine: EngineCard, *, lease: float = 15.0, nudged: Callable[[], None] | None = None
    ) -> None:
        self._engine, self._card = engine.id, engine
        self._records.engines[engine.id] = (engine, self._clock() + lease, nudged)

    async def close(self) -> None:
        if self._records.engines.pop(self._engine, None) is not None and self._free(self._engine):
            self._nudge(*self._records.engines)
        self._engine = ""

    # ---- writing

    async def submit(self, submission: Submission) -> RunRecord:
        records = self._live()
        if submission.key is not None and (known := records.keys.get(submission.key)) is not None:
            record = records.runs[known]
            if record.workflow != submission.workflow:
                raise refused_key(record, submission)
            return record
        record = new_record(submission, self._engine)
        run = submission.run
        records.runs[run] = record._replace(is_new=False)
        records.steps[run] = {(row.task, row.item): row._replace(run=run) for row in submission.steps}
        if submission.key is not None:
            records.keys[submission.key] = run
        records.events.append(EventRow(run, "run_submitted", None, -1, submission.created))
        if len(records.engines) > 1:
            self._nudge(*(one for one in records.engines if one != self._engine))
        return record

    def commit(self, transition: Transition, answered: Answer) -> None:
        refusal = self._refusal(transition)
        if refusal is None:
            self._apply(transition)
        answered(refusal)

    def _refusal(self, transition: Transition) -> StoreError | None:
        records = self._records
        if self._engine not in records.engines:
            return StoreFenced(engine=self._engine, store=self.url)
        run = transition.run
        steps = records.steps[run]
        if transition.end is not None and records.runs[run].engine != self._engine:
            return StoreFenced(engine=self._engine, store=self.url)
        if transition.reopening is None and steps:
            for row in transition.steps:
                before = steps.get((row.task, row.item))
                if before is not None and before.status in TERMINAL:
                    return StepEnded(task=row.task, run=run_answer(records.runs[run])["id"])
        return None

    def _apply(self, transition: Transition) -> None:
        records = self._records
        run = transition.run
        steps = records.steps[run]
        if transition.reopening is not None:
            for key in transition.reopening.forget:
                steps.pop(key, None)
            for stale in [key for key in records.wishes if key[0] == run]:
                del records.wishes[stale]
            before = records.runs[run]
            context = before.context if transition.reopening.context is None else transition.reopening.context
            records.runs[run] = before._replace(
                status="running", ended=None, final=None, error=None, due=None, context=context
            )
        for row in transition.steps:
            steps[row.task, row.item] = row
        records.events += transition.events
        end = transition.end
        if end is None:
            return
        if (
            end.parent is not None
            and end.status in ENDED
            and (above := records.runs.get(end.parent.run)) is not None
        ):
            if above.engine is not None:
                name = f"run:{run_answer(records.runs[run])['id']}"
                wish = Wish(run_answer(above)["id"], "signal", name, b"null")
                records.wishes[above.run, "signal", name] = wish
            elif above.status == "suspended":
                records.runs[above.run] = above._replace(due=0.0)
        if end.status in ENDED:
            records.runs[run] = records.runs[run]._replace(
                status=end.status, ended=end.ended, final=end.context, error=end.error, due=None, engine=None
            )
        else:
            due = 0.0 if any(key[0] == run for key in records.wishes) else end.due
            records.runs[run] = records.runs[run]._replace(status=end.status, due=due, engine=None)

    async def claim(
        self, *, run: str | None = None, workflows: Sequence[str] = (), limit: int = 1, reopen: bool = False
    ) -> list[SavedRun]:
        records = self._live()
        gone = self._gone()
        if run is not None:
            one = records.runs.get(run_id(run))
            wanted = [] if one is None or (one.status in ENDED and not reopen) else [one]
        else:
            now = time.time()
            wanted = [one for one in records.runs.values() if one.workflow in workflows and _is_due(one, now)]
            wanted.sort(key=lambda one: (-one.priority, one.run))
        takable = [None, *gone] if run is None else [None, *gone, self._engine]
        free = [one for one in wanted if one.engine in takable][:limit]
        taken: list[SavedRun] = []
        for one in free:
            mine = one._replace(engine=self._engine, status="running", due=None)
            records.runs[one.run] = mine
            taken.append(self._saved(mine))
        for engine in gone:
            self._free(engine)
            del records.engines[engine]
        return taken

    async def renew(self, *, lease: float) -> list[Wish]:
        records = self._live()
        card, _, nudged = records.engines[self._engine]
        records.engines[self._engine] = (card, self._clock() + lease, nudged)
        mine = [
            key
            for key in records.wishes
            if key[0] in records.runs and records.runs[key[0]].engine == self._engine
        ]
        return [records.wishes.pop(key) for key in mine]

    async def ask(self, run: str, wish: str, *, name: str = "", value: bytes | None = None) -> Standing:
        record = self._record(run)
        records = self._records
        if record.status in ENDED:
            return "ended"
        if wish == "signal":
            signals = records.signals.setdefault(record.run, {})
            signals[name] = Signal(name, value or b"null", time.time())
        if record.engine is not None and record.engine not in self._gone():
            records.wishes[record.run, wish, name] = Wish(run, wish, name, value)
            self._nudge(record.engine)
            return "driven"
        if wish == "signal" and record.status == "suspended":
            records.runs[record.run] = record._replace(due=0.0)
        self._nudge(*(one for one in records.engines if one != self._engine))
        return "free"

    async def keep(
        self, kind: str, name: str, body: bytes | None, *, version: int | None = None
    ) -> int | None:
        documents = self._live().documents
        current = documents[kind, name][0] if (kind, name) in documents else 0
        if version is not None and version != current:
            return None
        if body is None:
            documents.pop((kind, name), None)
            return 0
        documents[kind, name] = (current + 1, body)
        return current + 1

    async def sweep(self, *, before: float, limit: int = 1000) -> dict[str, int]:
        records = self._live()
        old = [one for one in records.runs.values() if one.ended is not None and one.ended < before]
        old = [one for one in old if self._may_go(one)]
        old.sort(key=lambda one: one.ended or 0.0)
        going = {one.run for one in old[:limit]}
        steps = 0
        for run in going:
            record = records.runs.pop(run)
            steps += len(records.steps.pop(run))
            records.signals.pop(run, None)
            records.artifact_uses.pop(run, None)
            if record.key is not None:
                del records.keys[record.key]
        events = sum(1 for row in records.events if row.run in going)
        for number, row in enumerate(records.events):
            if row.run in going:
                records.events[number] = _GONE  # cursors stay valid
        kept = next(
            (number for number, row in enumerate(records.events) if row is not _GONE), len(records.events)
        )
        del records.events[:kept]
        records.first += kept
        return {"runs": len(going), "steps": steps, "events": events, **records.tidy_artifacts()}

    # ---- reading

    async def read(self, query: str, **arguments: Any) -> Answers:
        checked(query, arguments)
        return _READS[query](self, **arguments)

    def _runs(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        key: str | None = None,
        limit: int = 50,
        **more: Any,
    ) -> Answers:
        found = [
            run_answer(one)
            for one in sorted(self._records.runs.values(), reverse=True)
            if workflow in (None, one.workflow)
            and status in (None, one.status)
            and key in (None, one.key)
            and matches(one, **more)
        ]
        return found[:limit]

    def _run(self, *, run: str) -> Answers:
        return [run_answer(self._record(run))]

    def _steps(self, *, run: str) -> Answers:
        return [step_answer(row) for row in self._saved(self._record(run)).steps]

    def _read_saved(self, *, run: str) -> Answers:
        return [{"saved": self._saved(self._record(run))}]

    def _signals(self, *, run: str) -> Answers:
        return [signal_answer(one) for one in self._saved(self._record(run)).signals]

    def _events(self, *, run: str | None = None, after: int = 0, limit: int = 1000) -> Answers:
        records = self._records
        wanted = None if run is None else run_id(run)
        found: Answers = []
        for seq in range(max(after + 1, records.first), records.first + len(records.events)):
            row = records.events[seq - records.first]
            if row is not _GONE and wanted in (None, row.run):
                found.append({"event": event_of(seq, *row)})
                if len(found) == limit:
                    break
        return found

    def _counts(self) -> Answers:
        counts: dict[str, int] = {}
        for record in self._records.runs.values():
            counts[record.status] = counts.get(record.status, 0) + 1
        return [{"status": status, "runs": number} for status, number in sorted(counts.items())]

    def _sizes(self) -> Answers:
        records = self._records
        steps = sum(len(one) for one in records.steps.values())
        rows = {"runs": len(records.runs), "steps": steps, "events": len(records.events)}
        return [{**rows, **records.artifact_sizes(), "documents": len(records.documents)}]

    def _ages(self) -> Answers:
        return [ages_of(self._records.runs.values(), self._may_go)]

    def _documents(self, *, kind: str, name: str | None = None) -> Answers:
        return [
            {"name": known, "version": version, "body": body}
            for (of, known), (version, body) in sorted(self._records.documents.items())
            if of == kind and name in (None, known)
        ]

    def _engines(self) -> Answers:
        now, gone = self._clock(), self._gone()
        return [
            {
                "id": card.id,
                "host": card.host,
                "pid": card.pid,
                "left": expires - now,
                "gone": card.id in gone,
            }
            for card, expires, _ in self._records.engines.values()
        ]

    def _agenda(self, *, workflows: Sequence[str]) -> Answers:
        mine = [one for one in self._records.runs.values() if one.workflow in workflows]
        dues = [one.due for one in mine if one.status == "suspended" and one.due is not None]
        gone, now = self._gone(), self._clock()
        drivers = {
            one.engine for one in mine if one.status == "running" and one.engine not in (None, self._engine)
        }
        leases = [
            0.0 if name in gone or name not in self._records.engines else self._records.engines[name][1] - now
            for name in drivers
            if name is not None
        ]
        free = any(one.status == "running" and one.engine is None for one in mine)
        return [{"due": min(dues, default=None), "free": free, "leases": min(leases, default=None)}]

    # ---- inside

    def _live(self) -> Records:
        if self._engine not in self._records.engines:
            raise StoreFenced(engine=self._engine, store=self.url)
        return self._records

    def _record(self, run: str) -> RunRecord:
        try:
            record = self._records.runs.get(run_id(run))
        except ValueError:
            record = None
        if record is None:
            raise RunNotFound(run=run, store=self.url)
        return record

    def _saved(self, record: RunRecord) -> SavedRun:
        rows = list(self._records.steps[record.run].values())
        signals = list(self._records.signals.get(record.run, {}).values())
        return SavedRun(record, rows, signals)

    def _gone(self) -> list[str]:
        now = self._clock()
        return [
            name
            for name, (card, expires, _) in self._records.engines.items()
            if name != self._engine and (expires < now or is_gone(card, beside=self._card))
        ]

    def _free(self, engine: str) -> int:
        mine = [one for one in self._records.runs.values() if one.engine == engine]
        for one in mine:
            self._records.runs[one.run] = one._replace(engine=None)
        return len(mine)

    def _may_go(self, one: RunRecord) -> bool:
        above = None if one.parent is None else self._records.runs.get(one.parent.run)
        return above is None or above.status in ENDED

    def _nudge(self, *engines: str) -> None:
        for engine in engines:
            known = self._records.engines.get(engine)
            if known is not None and known[2] is not None:
                known[2]()


def _is_due(one: RunRecord, now: float) -> bool:
    return one.status == "running" or (one.status == "suspended" and one.due is not None and one.due <= now)


_GONE = EventRow(b"", "", None, 0, 0.0)

_READS: dict[str, Callable[..., Answers]] = {
    "runs": MemoryStore._runs,
    "run": MemoryStore._run,
    "steps": MemoryStore._steps,
    "saved": MemoryStore._read_saved,
    "signals": MemoryStore._signals,
    "events": MemoryStore._events,
    "counts": MemoryStore._counts,
    "sizes": MemoryStore._sizes,
    "ages": MemoryStore._ages,
    "documents": MemoryStore._documents,
    "engines": MemoryStore._engines,
    "agenda": MemoryStore._agenda,
}
