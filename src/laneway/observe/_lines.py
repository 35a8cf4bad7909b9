"""Log lines about runs, and for what tasks printed: an observer that writes them."""

import logging
import os
import threading
from contextvars import Context
from time import time
from typing import Any

import msgspec

from laneway import _attempt
from laneway._core.records import Transition
from laneway.ports import LiveRun, Observer, Outcome, StepOrder

__all__ = ["LogLines"]

_runs = logging.getLogger("laneway.runs")
_output = logging.getLogger("laneway.output")
_STARTED = time() - logging.makeLogRecord({}).relativeCreated / 1000
_BEGUN = {False: "run started", True: "run taken up"}
_LEVELS = {
    "run_failed": logging.ERROR,
    "step_failed": logging.WARNING,
    "step_retrying": logging.WARNING,
    "run_cancelled": logging.WARNING,
}


class LogLines(Observer):
    """Says when runs start and end, which steps fail, and gives each printed line its attempt."""

    ordinary_attempts = False

    @staticmethod
    def wanted() -> bool:
        """Whether anything of it would be seen, as logging is set now."""
        return _runs.isEnabledFor(logging.INFO) or _output.isEnabledFor(logging.INFO)

    def run_started(self, run: LiveRun, *, taken_over: bool) -> None:
        """Write a line."""
        level = logging.INFO if taken_over else logging.DEBUG
        if _runs.isEnabledFor(level):
            _say(_runs, level, _BEGUN[taken_over], _of_run(run))

    def attempt_ended(self, run: LiveRun, order: StepOrder, outcome: Outcome) -> Outcome:
        """Write a line for each that was printed."""
        if outcome.output and _output.isEnabledFor(logging.INFO):
            context = _attempt.context_of(order, outcome.lane, outcome.worker)
            for line in outcome.output.splitlines():
                if line.strip():
                    _say(_output, logging.INFO, line, context)
        return outcome

    def committed(self, run: LiveRun, transition: Transition, seconds: float) -> None:
        """Write a line for each failure, and for the end."""
        if (
            transition.end is None
            and len(transition.events) == 1
            and transition.events[0].kind == "step_succeeded"
        ):
            return
        for event in transition.events:
            if event.task is None:
                about = {**_of_run(run), "steps": len(run.plan.tasks)}
                _say(_runs, _LEVELS.get(event.kind, logging.INFO), event.kind.replace("_", " "), about)
            elif event.kind in _LEVELS:
                data: dict[str, Any] = msgspec.json.decode(event.data) if event.data else {}
                about = {
                    **_of_run(run),
                    "task": event.task,
                    "key": None if event.item < 0 else event.item,
                    "attempt": data.get("attempt"),
                }
                error: dict[str, Any] = data.get("error") or {}
                text = f"{event.kind.replace('_', ' ')}: {error.get('type', '')}: {error.get('message', '')}"
                _say(_runs, _LEVELS[event.kind], text, about)


def _of_run(run: LiveRun) -> dict[str, Any]:
    return {"run": run.text_id, "workflow": run.plan.workflow.name, "correlation_id": run.correlation_id}


def _say(logger: logging.Logger, level: int, text: str, context: dict[str, Any]) -> None:
    if not logger.isEnabledFor(level):
        return
    now = time()
    record = logging.LogRecord.__new__(logging.LogRecord)
    # As its constructor would: that looks up thread, process and file again for every line, which takes longer than
    # writing the line.
    record.__dict__.update(_blank())
    record.__dict__.update(
        name=logger.name,
        msg=text,
        levelno=level,
        levelname=logging.getLevelName(level),
        created=now,
        msecs=int(now * 1000) % 1000 + 0.0,
        relativeCreated=(now - _STARTED) * 1000,
        laneway=context,
    )
    Context().run(logger.handle, record)  # written by the engine, in whatever context that is called


_kept = threading.local()


def _blank() -> dict[str, Any]:
    """The attributes that all records of this thread share."""
    kept: tuple[int, dict[str, Any]] | None = getattr(_kept, "blank", None)
    if kept is None or kept[0] != os.getpid():  # a fork is another process
        kept = _kept.blank = os.getpid(), logging.LogRecord("", 0, "laneway", 0, "", (), None).__dict__
    return kept[1]
