"""What was handed to a writer in one turn of the event loop."""

import asyncio

from laneway._core.records import RunRecord, Submission, Transition
from laneway.ports import Answer

__all__ = ["Batch"]


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
