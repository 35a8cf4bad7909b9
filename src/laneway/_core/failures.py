"""Failure records: what a failed attempt says, in plain data, and how it is classified. Standard library only."""

from typing import Any, Literal, NotRequired, TypedDict

__all__ = ["KINDS", "Failure", "FailureKind", "MissingKey", "failure_record", "kind_of"]

type FailureKind = Literal[
    "missing_key", "type_error", "missing_import", "timeout", "policy_violation", "lost_lane", "other"
]

KINDS: tuple[FailureKind, ...] = (
    "missing_key",
    "type_error",
    "missing_import",
    "timeout",
    "policy_violation",
    "lost_lane",
    "other",
)


class MissingKey(KeyError):
    """A task asked for a context key that nothing has set."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "missing context key"


class Failure(TypedDict):
    """The JSON form of a failed attempt. `traceback` is the whole remote text with chain, groups, notes and lines."""

    kind: FailureKind
    type: str
    message: str
    traceback: str
    notes: NotRequired[list[str]]
    cause: NotRequired["Failure"]
    context: NotRequired["Failure"]


def kind_of(error: BaseException) -> FailureKind:
    """Classify by type: a missing context key, a type error, a missing import, a time-out, a policy, else other."""
    if isinstance(error, MissingKey):
        return "missing_key"
    if isinstance(error, TypeError):
        return "type_error"
    if isinstance(error, ImportError):
        return "missing_import"
    if isinstance(error, TimeoutError):
        return "timeout"
    if getattr(type(error), "laneway_kind", None) == "policy_violation":
        return "policy_violation"
    return "other"


def failure_record(kind: FailureKind, type_name: str, message: str, traceback: str = "", **more: Any) -> Failure:
    """A failure that no exception stands for, such as a time limit or a lost worker."""
    record: Failure = {"kind": kind, "type": type_name, "message": message, "traceback": traceback}
    record.update(more)  # type: ignore[typeddict-item]  # optional keys given by name
    return record
