"""What was handed to a writer in one turn of the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any

from laneway._core.records import RunRecord, Submission, Transition
from laneway.ports import Answer

__all__ = ["Answers", "Batch", "LostRuns", "refuse", "resolve", "settle"]

_MOST_LOST = 10_000

type Answers = list[tuple[asyncio.Future[RunRecord], Any]]
"""Who waits for a run's record, with the record or why it was refused."""


class Batch:
    """Transitions with who wants to know how they went, and submissions with who waits for the record.

    Args:
        engine: in whose name they were made. An engine that lost its lease goes on under another one; what it made
            before must not be written in that.
    """

    __slots__ = ("answers", "engine", "submissions", "transitions")

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.transitions: list[Transition] = []
        self.answers: list[Answer] = []
        self.submissions: list[tuple[Submission, asyncio.Future[RunRecord]]] = []

    def tell(self, failure: BaseException | None) -> None:
        """Call every transition's answer; on the event loop."""
        for answered in self.answers:
            answered(failure)

    def split(self) -> list[Batch]:
        """The same in batches of one."""
        singles: list[Batch] = []
        for submission in self.submissions:
            single = Batch(self.engine)
            single.submissions.append(submission)
            singles.append(single)
        for transition, answered in zip(self.transitions, self.answers, strict=True):
            single = Batch(self.engine)
            single.transitions.append(transition)
            single.answers.append(answered)
            singles.append(single)
        return singles


class LostRuns:
    """Runs whose record could not be written: nothing of theirs may be.

    Args:
        tell: called with a batch of such a run and why its record was not written.
    """

    def __init__(self, tell: Callable[[Batch, BaseException], None]) -> None:
        self._tell = tell
        self._failures: dict[bytes, BaseException] = {}

    def __bool__(self) -> bool:
        return bool(self._failures)

    def lose(self, batch: Batch, failure: BaseException) -> None:
        """Note what the batch was to record, and take it out."""
        while len(self._failures) > _MOST_LOST:
            del self._failures[next(iter(self._failures))]
        self._failures.update((one.run, failure) for one, _ in batch.submissions)
        batch.submissions = []

    def kept(self, batches: list[Batch]) -> list[Batch]:
        """Without what is empty and what belongs to such runs, which is told."""
        if not self._failures:
            return [batch for batch in batches if batch.transitions or batch.submissions]
        kept: list[Batch] = []
        for single in [single for batch in batches for single in batch.split()]:
            failure = self._failures.get(single.transitions[0].run) if single.transitions else None
            if failure is None:
                kept.append(single)
            else:
                self._tell(single, failure)
        return kept


def settle(
    batches: list[Batch],
    failure: BaseException | None,
    answers: Answers | None,
) -> None:
    """Tell everybody how it went; on the event loop. Without answers what was submitted was not recorded."""
    for future, answer in answers or ():
        resolve(future, answer)
    for batch in batches:
        if answers is None:
            refuse(batch.submissions, failure)
        batch.tell(failure)


def refuse(
    submissions: list[tuple[Submission, asyncio.Future[RunRecord]]], failure: BaseException | None
) -> None:
    """Give everybody who asked for a run the same failure."""
    for _, future in submissions:
        resolve(future, failure)


def resolve(future: asyncio.Future[Any], answer: Any) -> None:
    """Give a future its result or failure, unless nobody waits any more."""
    if future.done():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
