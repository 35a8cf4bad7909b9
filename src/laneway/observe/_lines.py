"""Log lines about runs, and for what tasks printed: an observer that writes them."""

import logging
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
_BEGUN = {False: "run started", True: "run taken up"}
_LEVELS = {
    "run_failed": logging.ERROR,
    "step_failed": logging.WARNING,
    "step_retrying": logging.WARNING,
    "run_cancelled": logging.WARNING,
}


class LogLines(Observer):
    """Says when runs start and end, which steps fail, and gives each printed line its attempt."""

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
    record = logging.LogRecord(logger.name, level, "laneway", 0, text, (), None)
    record.created = time()
    record.__dict__["laneway"] = context
    Context().run(logger.handle, record)  # written by the engine, in whatever context that is called
