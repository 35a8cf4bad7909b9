"""Keeping secrets out of log lines: values of configured keys are blotted out, in fields and in texts."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

__all__ = ["HIDDEN", "Redaction"]

HIDDEN = "***"
_MAX_DEPTH = 12


class Redaction:
    """Replaces what stands under the given keys, however deep.

    Args:
        keys: names such as `password`; upper and lower case are the same, and so are `-` and `_`.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = frozenset(_plain(key) for key in keys if key.strip())
        names = "|".join(
            re.escape(key).replace("_", "[-_]?") for key in sorted(self._keys, key=len, reverse=True)
        )
        # key=value, key: value, "key": "value", with whatever quotes there are.
        self._text = (
            re.compile(
                rf"(?i)(?<![a-z0-9])((?:{names})[\"']?\s*[=:]\s*)"
                r"(\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|(?:Bearer\s+|Basic\s+)?[^\s,;&)}\]\"']+)"
            )
            if self._keys
            else None
        )

    def __bool__(self) -> bool:
        return bool(self._keys)

    def value(self, value: Any, depth: int = 0) -> Any:
        """The same value without its secrets; new containers where something had to go."""
        if isinstance(value, str):
            return self.text(value)
        if depth > _MAX_DEPTH:
            return HIDDEN
        if isinstance(value, Mapping):
            items = cast("Any", value).items()
            return {
                key: HIDDEN if _plain(str(key)) in self._keys else self.value(one, depth + 1)
                for key, one in items
            }
        if isinstance(value, list | tuple):
            return [self.value(one, depth + 1) for one in cast("list[Any]", value)]
        return value

    def text(self, text: str) -> str:
        """A text in which what follows a key is blotted out."""
        if self._text is None or not ("=" in text or ":" in text):
            return text
        return self._text.sub(rf"\1{HIDDEN}", text)


def _plain(key: str) -> str:
    return key.strip().lower().replace("-", "_")
