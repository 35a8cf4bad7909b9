"""What a run gives back: `RunResult`, its steps and their attempts, as records and as JSON."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from laneway._core.errors import RunFailed
from laneway._core.records import NO_ITEM, StepRow
from laneway._core.rows import run_text

__all__ = ["Attempt", "Failed", "RunResult", "StepResult", "result_of"]


class Failed(dict[str, Any]):
    """What went wrong, as JSON data whose keys are attributes too: `error.kind` is `error["kind"]`.

    `kind` is one of `laneway._core.failures.KINDS`, `type` the exception's type, `message` its text, `traceback` the
    whole remote traceback with source lines; `notes`, `cause` and `context` are there where the exception had them.
    The error of a run also has `task` and, for a mapped task, `key`.
    """

    __slots__ = ()

    task: str
    key: int | None
    kind: str
    type: str
    message: str
    traceback: str

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this error has no {name!r}; it has {', '.join(self)}") from None


class Attempt(msgspec.Struct, frozen=True):
    """One try of a step. Times are seconds since the epoch; `error` is a failure record or None."""

    number: int
    status: str
    lane: str
    worker: str
    started: float
    ended: float
    stopped_by: str = ""
    error: Failed | None = None


class StepResult(msgspec.Struct, frozen=True):
    """One step of a run. `key` is the item's number for a mapped task, else None."""

    task: str
    key: int | None
    status: str
    lane: str
    attempts: list[Attempt]
    error: Failed | None = None
    stopped_by: str = ""
    output: str = ""


class RunResult:
    """A run as it stands or ended.

    Attributes:
        id: the run's UUIDv7 as text.
        workflow: its workflow's name.
        status: `succeeded`, `failed`, `cancelled`, `suspended`, or `running` where it was asked early.
        context: the final context; of an unfinished run, the initial one.
        error: None, or `task`, `kind`, `message`, `traceback` and more of the first failed step.
    """

    __slots__ = ("_context", "_decoded", "_rows", "_steps", "error", "id", "kept", "status", "workflow")

    def __init__(
        self,
        run: str,
        workflow: str,
        status: str,
        context: bytes,
        error: Failed | None,
        rows: Iterable[StepRow],
        kept: int = 0,
    ) -> None:
        self.id = run
        self.workflow = workflow
        self.status = status
        self.error = error
        self.kept = kept
        """How many finished steps were kept from before a restart."""
        self._context = context
        self._decoded: dict[str, Any] | None = None
        self._rows = rows
        self._steps: list[StepResult] | None = None

    @property
    def context(self) -> dict[str, Any]:
        """The context as Python values, decoded on first use."""
        if self._decoded is None:
            self._decoded = msgspec.json.decode(self._context, type=dict[str, Any])
        return self._decoded

    @property
    def steps(self) -> list[StepResult]:
        """All steps that started or were skipped, in the order they ended."""
        if self._steps is None:
            self._steps = [step_of(row) for row in self._rows]
        return self._steps

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON data."""
        return {
            "id": self.id,
            "workflow": self.workflow,
            "status": self.status,
            "context": self.context,
            "error": self.error,
            "steps": msgspec.to_builtins(self.steps),
            "kept": self.kept,
        }

    def checked(self) -> RunResult:
        """Itself if the run succeeded or is suspended.

        Raises:
            RunFailed: it failed or was cancelled.
        """
        if self.status in ("failed", "cancelled"):
            raise RunFailed(
                run=self.id,
                workflow=self.workflow,
                status=_STATUS_TEXT[self.status],
                details=self._details(),
                result=self,
            )
        return self

    def _details(self) -> str:
        if self.error is None:
            return ""
        where = f" at task {self.error['task']!r}" if self.error["task"] else ""
        text = f"{where}: {self.error.get('type', '')}: {self.error['message']}"
        traceback = self.error.get("traceback")
        return f"{text}\n\n{traceback}" if traceback else text

    def __repr__(self) -> str:
        return f"RunResult(id={self.id!r}, workflow={self.workflow!r}, status={self.status!r})"


def _failed(error: bytes | None) -> Failed | None:
    return None if error is None else Failed(msgspec.json.decode(error, type=dict[str, Any]))


def _from_json(kind: type, value: Any) -> Any:
    return kind(value)


_attempts = msgspec.json.Decoder(list[Attempt], dec_hook=_from_json)
_STATUS_TEXT = {"failed": "failed", "cancelled": "was cancelled"}


def step_of(row: StepRow) -> StepResult:
    """A step's row as a record for people."""
    earlier = [] if row.attempts is None else _attempts.decode(row.attempts)
    error = _failed(row.error)
    attempts = earlier
    if row.attempt > len(earlier) and row.started:
        latest = Attempt(
            number=row.attempt,
            status=row.status,
            lane=row.lane,
            worker=row.worker,
            started=row.started,
            ended=row.started + row.duration,
            stopped_by=row.stopped_by,
            error=error,
        )
        attempts = [*earlier, latest]
    return StepResult(
        task=row.task,
        key=None if row.item == NO_ITEM else row.item,
        status=row.status,
        lane=row.lane,
        attempts=attempts,
        error=error,
        stopped_by=row.stopped_by,
        output=row.output,
    )


def result_of(
    run: bytes,
    workflow: str,
    status: str,
    context: bytes,
    error: bytes | None,
    rows: Mapping[Any, StepRow],
    kept: int,
) -> RunResult:
    """Build the result from what the store or the driver has."""
    return RunResult(run_text(run), workflow, status, context, _failed(error), rows.values(), kept)
