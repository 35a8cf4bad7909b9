"""What was handed to a writer in one turn of the event loop."""

import asyncio
from typing import Any

from laneway._core.records import RunRecord, Submission, Transition
from laneway.ports import Answer

__all__ = ["Answers", "Batch", "refuse", "resolve", "settle"]

type Answers = list[tuple[asyncio.Future[RunRecord], Any]]
"""Who waits for a run's record, with the record or why it was refused."""


class Batch:
    """Transitions with who wants to know how they went, and submissions with who waits for the record."""

    __slots__ = ("answers", "submissions", "transitions")

    def __init__(self) -> None:
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
            single = Batch()
            single.submissions.append(submission)
            singles.append(single)
        for transition, answered in zip(self.transitions, self.answers, strict=True):
            single = Batch()
            single.transitions.append(transition)
            single.answers.append(answered)
            singles.append(single)
        return singles


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
