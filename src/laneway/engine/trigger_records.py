"""What a trigger is, and what an HTTP trigger makes of a call: parameters that fit, and what tells it from others."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from laneway._core.errors import PlanError, StoreError
from laneway._core.jobs import FIELD_TYPES
from laneway.engine.schedule_ports import JobInvalid

__all__ = [
    "Trigger",
    "TriggerBodyInvalid",
    "TriggerInvalid",
    "TriggerNotFound",
    "TriggerPaused",
    "call_key",
    "call_parameters",
    "http_problems",
]

_LONGEST_KEY = 255


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """What starts a workflow, other than time."""

    name: str
    kind: Literal["run", "files", "http"]
    target: str
    parameters: dict[str, Any] = {}
    workflow: str = ""
    """`run`: whose runs."""
    on: tuple[str, ...] = ("succeeded",)
    """`run`: which ends."""
    folder: str = ""
    pattern: str = "*"
    cursor: int = 0
    """`run`: the last event that was looked at."""
    since: float = 0.0
    """`files`: what came before this epoch second has been looked at."""
    fields: dict[str, str] = {}
    """`http`: what the body may hold; without any, what the workflow asks for."""
    key: str = ""
    """`http`: the field that tells one call from another; a header does where there is none."""
    secret: str = ""
    """`http`: the name of the secret that a caller must know. The secret itself is never kept in the store."""
    signature: str = ""
    """`http`: the header with the body's signature by that secret; without one the secret itself is sent."""
    paused: bool = False
    """Whether it starts nothing for now."""


class TriggerNotFound(StoreError):
    """There is no such trigger."""

    code = "LW-SCHED-005"
    template = "there is no {kind}trigger {name!r} here. {near}`laneway trigger list` shows what there is."

    def __init__(self, *, name: str, kind: str = "", near: str = "") -> None:
        super().__init__(name=name, kind=kind, near=near)


class TriggerInvalid(JobInvalid):
    """A trigger cannot be as it is. `problems` holds one text per mistake."""

    code = "LW-SCHED-008"
    template = "trigger {name!r} cannot be added: {listing}."


class TriggerPaused(StoreError):
    """A paused HTTP trigger was called."""

    code = "LW-SCHED-007"
    template = "trigger {name!r} is paused and starts nothing. `laneway trigger resume` lets it go on."


class TriggerBodyInvalid(PlanError):
    """The body of a call does not have what the trigger needs. `problems` holds one text per mistake."""

    code = "LW-SCHED-006"
    template = "trigger {name!r} cannot take this: {listing}"

    problems: list[str]

    def __init__(self, *, name: str, problems: list[str], listing: str = "") -> None:
        super().__init__(name=name, problems=problems, listing=listing or "; ".join(problems))


def http_problems(trigger: Trigger) -> list[str]:
    """Every mistake in an HTTP trigger."""
    known = ", ".join(FIELD_TYPES)
    problems = [
        f"fields[{name!r}]={kind!r}: use {known}, with ? after it if it may be missing"
        for name, kind in trigger.fields.items()
        if kind.removesuffix("?") not in FIELD_TYPES
    ]
    if trigger.key and trigger.fields and trigger.fields.get(trigger.key) not in ("string", "integer"):
        problems.append(
            f"key={trigger.key!r}: it must be one of fields, a string or an integer that is needed"
        )
    if trigger.signature and not trigger.secret:
        problems.append("signature= needs secret=, the name of the secret to sign with")
    if not all(one.isalnum() or one == "-" for one in trigger.signature):
        problems.append(f"signature={trigger.signature!r}: use a header's name, such as X-Hub-Signature-256")
    return problems


def call_parameters(trigger: Trigger, body: object) -> dict[str, Any]:
    """The initial context that a call's body makes.

    The body's own keys, with the trigger's parameters over them; or those alone where one of them is `"{body}"`.

    Raises:
        TriggerBodyInvalid: with every mistake.
    """
    if not isinstance(body, dict):
        raise TriggerBodyInvalid(name=trigger.name, problems=["the body must be a JSON object"])
    given = cast("dict[str, Any]", body)
    problems = [*_field_problems(trigger.fields, given)] if trigger.fields else []
    if problems:
        raise TriggerBodyInvalid(name=trigger.name, problems=problems)
    fixed = {key: given if value == "{body}" else value for key, value in trigger.parameters.items()}
    return fixed if "{body}" in trigger.parameters.values() else {**given, **fixed}


def _field_problems(fields: Mapping[str, str], given: Mapping[str, Any]) -> list[str]:
    problems: list[str] = []
    for name, text in fields.items():
        kind, is_optional = text.removesuffix("?"), text.endswith("?")
        if name not in given:
            if not is_optional:
                problems.append(f"{name!r} is missing")
            continue
        value = given[name]
        is_right = isinstance(value, FIELD_TYPES[kind]) and (
            kind in ("boolean", "any") or not _is_flag(value)
        )
        if not is_right and not (value is None and is_optional):
            problems.append(f"{name!r} must be {kind}")
    unknown = sorted(given.keys() - fields.keys())
    return problems + [f"{name[:60]!r} is not one of its fields" for name in unknown[:10]]


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def call_key(trigger: Trigger, body: object, header: str | None) -> str | None:
    """What tells this call from others; None for a call that has nothing of the sort.

    Raises:
        TriggerBodyInvalid: the field that must tell is not there, or not of use.
    """
    if not trigger.key:
        key: object = header
        what = "the header Idempotency-Key"
        if header is None:
            return None
    else:
        key = cast("dict[str, Any]", body).get(trigger.key) if isinstance(body, dict) else None
        what = repr(trigger.key)
    text = str(key) if isinstance(key, str | int) and not _is_flag(key) else ""
    if not text or len(text) > _LONGEST_KEY or not text.isprintable():
        problem = f"{what} must be 1 to {_LONGEST_KEY} printable characters, or an integer"
        raise TriggerBodyInvalid(name=trigger.name, problems=[problem])
    return text
