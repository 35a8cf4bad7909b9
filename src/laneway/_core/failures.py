"""Failure records: what a failed attempt says, in plain data, and how it is classified. Standard library only."""

from importlib import import_module
from os.path import dirname

from laneway._core.untyped import Any, Callable, TypedDict, cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, NotRequired

__all__ = [
    "KINDS",
    "Failure",
    "FailureKind",
    "MissingKey",
    "PolicyViolation",
    "failure_of",
    "failure_record",
    "kind_of",
]

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


class PolicyViolation(PermissionError):
    """A package did something its policy does not allow. Code that can do without it may catch it."""

    laneway_kind = "policy_violation"


class Failure(TypedDict):
    """The JSON form of a failed attempt. `traceback` is the whole remote text with chain, groups, notes and lines."""

    kind: FailureKind
    type: str
    message: str
    traceback: str
    notes: NotRequired[list[str]]
    cause: NotRequired[Failure]
    context: NotRequired[Failure]
    bases: NotRequired[list[str]]
    """What the exception's type is derived from, for `Retry(on=[...])`."""
    exceptions: NotRequired[list[Failure]]
    """The members of an exception group."""


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


def failure_record(
    kind: FailureKind, type_name: str, message: str, traceback: str = "", **more: Any
) -> Failure:
    """A failure that no exception stands for, such as a time limit or a lost worker."""
    record: Failure = {"kind": kind, "type": type_name, "message": message, "traceback": traceback}
    record.update(more)  # type: ignore[typeddict-item]  # optional keys given by name
    return record


_OWN_FOLDERS = (dirname(__file__), dirname(dirname(__file__)) + "/lanes")
_LOOP_FOLDER = "/asyncio"
_MAX_TEXT = 200_000
_MAX_RELATED = 20


def failure_of(error: BaseException) -> Failure:
    """Everything an exception says, as plain data: type, message, notes, chain, groups and the whole traceback.

    The text is what Python itself would print, without Laneway's own frames. Never raises, whatever the exception's
    own methods do.
    """
    budget = [_MAX_RELATED]
    try:
        record = _described(error, budget, set())
        bases = [
            _type_name(one) for one in type(error).__mro__[1:-1] if one not in (Exception, BaseException)
        ]
        if bases:
            record["bases"] = bases
        record["traceback"] = _guarded(lambda: _formatted(error, chain=True), "")
    except BaseException as broken:  # noqa: BLE001 - no memory or stack left: the failure itself must not be lost
        return failure_record(
            kind_of(error), type(error).__name__, f"(could not be described: {type(broken).__name__})"
        )
    return record


def _described(error: BaseException, budget: list[int], seen: set[int]) -> Failure:
    seen.add(id(error))
    budget[0] -= 1
    message = _guarded(lambda: str(error), "<exception str() failed>")
    record = failure_record(kind_of(error), _type_name(type(error)), message)
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list) and notes:
        record["notes"] = [_guarded(lambda note=note: str(note), "<note str() failed>") for note in notes]  # type: ignore[misc]
    cause, context = error.__cause__, error.__context__
    if cause is not None and id(cause) not in seen and budget[0] > 0:
        record["cause"] = _described(cause, budget, seen)
    elif context is not None and not error.__suppress_context__ and id(context) not in seen and budget[0] > 0:
        record["context"] = _described(context, budget, seen)
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        members = [one for one in group.exceptions if id(one) not in seen]
        record["exceptions"] = [_described(one, budget, seen) for one in members if budget[0] > 0]
    return record


def _type_name(kind: type[BaseException]) -> str:
    module = getattr(kind, "__module__", None)
    if not isinstance(module, str) or module in ("builtins", "__main__", "__laneway_main__"):
        return kind.__qualname__
    if module.startswith("laneway."):
        return kind.__qualname__
    return f"{module}.{kind.__qualname__}"


def _formatted(error: BaseException, *, chain: bool) -> str:
    # Imported on the first failure only: every worker imports this module, and most never need `traceback`.
    described = import_module("traceback").TracebackException.from_exception(error, compact=True)
    _without_own_frames(described, set())
    return "".join(described.format(chain=chain))


def _without_own_frames(described: Any, seen: set[int]) -> None:
    if described is None or id(described) in seen:
        return
    seen.add(id(described))
    stack = described.stack
    kept = [frame for frame in stack if not frame.filename.startswith(_OWN_FOLDERS)]
    if len(kept) != len(stack):  # a call through Laneway, perhaps through an event loop: drop the way in
        first = 0
        while first < len(kept) and dirname(kept[first].filename).endswith(_LOOP_FOLDER):
            first += 1
        stack[:] = kept[first:]
    _without_own_frames(described.__cause__, seen)
    _without_own_frames(described.__context__, seen)
    for member in described.exceptions or ():
        _without_own_frames(member, seen)


def _guarded(text: Callable[[], str], otherwise: str) -> str:
    try:
        found = text()
    except BaseException:  # noqa: BLE001 - a foreign __str__ may raise anything; the failure must survive
        return otherwise
    if len(found) > _MAX_TEXT:
        half = _MAX_TEXT // 2
        found = f"{found[:half]}\n... {len(found) - _MAX_TEXT} characters left out ...\n{found[-half:]}"
    return found.encode("utf-8", "backslashreplace").decode()
