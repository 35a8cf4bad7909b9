"""How many runs and steps of one kind go on at once, as programs write it: per workflow, key, package, lane, task."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from laneway._core.errors import SettingInvalid

__all__ = ["NESTED", "Limit", "limits_from", "value_of"]

NESTED = "workflow"
"""The lane of steps that are runs themselves."""

type Kind = Literal["workflow", "key", "lane", "package", "task"]
_KINDS: dict[str, Kind] = {
    "workflow": "workflow",
    "key": "key",
    "lane": "lane",
    "package": "package",
    "task": "task",
}


class Limit(NamedTuple):
    """`workflow:nightly`, `lane:process`, `package:reports`, `task:resize`; of `key:tenant` each value by itself."""

    kind: Kind
    name: str
    most: int


def limits_from(given: Mapping[str, int]) -> list[Limit]:
    """Read limits as a program writes them: `{"lane:process": 2, "key:tenant": 1}`.

    Raises:
        SettingInvalid: one of them is not of this form.
    """
    limits: list[Limit] = []
    for text, most in given.items():
        head, _, name = text.partition(":")
        kind = _KINDS.get(head)
        if kind is None or not name:
            raise SettingInvalid(
                setting="limits",
                value=text,
                reason="there is no such limit",
                advice="Write workflow:NAME, key:NAME, lane:NAME, package:NAME or task:ID.",
            )
        if (kind, name) == ("lane", NESTED):
            raise SettingInvalid(
                setting="limits",
                value=text,
                reason="steps that are runs are counted by their workflow",
                advice="Write workflow:NAME.",
            )
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise SettingInvalid(
                setting=f"limits[{text!r}]",
                value=most,
                reason="a limit is a whole number, and with less than 1 nothing could run",
                advice="Use 1 or more.",
            )
        limits.append(Limit(kind, name, most))
    return limits


def value_of(context: Mapping[str, bytes], key: str) -> str | None:
    """A value of an encoded context as a text that tells it from other values; None if the key is not there."""
    found = context.get(key)
    return None if found is None else msgspec.json.format(found, indent=-1).decode()
