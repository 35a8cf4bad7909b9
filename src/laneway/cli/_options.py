"""Options that several commands share, and how their values are read."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from laneway._core.errors import SettingInvalid
from laneway.settings import settings_from

__all__ = [
    "JsonUnreadable",
    "context_from",
    "debug_option",
    "json_option",
    "store_option",
    "store_url",
    "tags_from",
    "value_from",
]


class JsonUnreadable(SettingInvalid):
    """JSON given to a command cannot be read."""

    code = "LW-SET-002"
    template = "{setting} is not {expected}: {reason}. {advice}"


def _remember_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().meta["laneway.debug"] = True


def debug_option[F: Callable[..., Any]](function: F) -> F:
    """`--debug`, accepted after the command too."""
    option = click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show tracebacks of errors.",
    )
    return option(function)


def json_option[F: Callable[..., Any]](function: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def store_option[F: Callable[..., Any]](function: F) -> F:
    """`--store`."""
    option = click.option(
        "--store",
        metavar="URL",
        help="Where runs are kept: sqlite:///FILE, postgresql://HOST/DATABASE or memory://. "
        "Default: LANEWAY_STORE, else sqlite:///laneway.db.",
    )
    return option(function)


def store_url(given: str | None) -> str:
    """The store that the user asked for, else the one that is set."""
    return settings_from().store if given is None else given


def context_from(pairs: Iterable[str], document: str | None, *, option: str = "-c") -> dict[str, Any]:
    """The initial context: a JSON object (text, `@file` or `-` for standard input), then KEY=VALUE pairs over it.

    Raises:
        JsonUnreadable: the object cannot be read, or a pair has no key.
    """
    context: dict[str, Any] = {} if document is None else _document(document)
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise JsonUnreadable(
                setting=f"{option} {pair!r}",
                expected="KEY=VALUE",
                reason="it has no key" if separator else "it has no =",
                advice=f"Write {option} {key or 'name'}=VALUE.",
            )
        context[key] = value_from(value)
    return context


def tags_from(pairs: Iterable[str]) -> dict[str, str]:
    """Tags from NAME=VALUE pairs.

    Raises:
        JsonUnreadable: one has no name or no =.
    """
    tags: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise JsonUnreadable(
                setting=f"--tag {pair!r}",
                expected="NAME=VALUE",
                reason="it has no name" if separator else "it has no =",
                advice=f"Write --tag {name or 'name'}=VALUE.",
            )
        tags[name] = value
    return tags


def _document(text: str) -> dict[str, Any]:
    source, raw = "--context", text.encode()
    if text == "-":
        source, raw = "--context from standard input", sys.stdin.buffer.read()
    elif text.startswith("@"):
        source = f"--context {text}"
        try:
            raw = Path(text[1:]).expanduser().read_bytes()
        except OSError as error:
            raise JsonUnreadable(
                setting=source,
                expected="a readable file",
                reason=error.strerror or str(error),
                advice="Check its path.",
            ) from error
    try:
        found: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        advice = """Quote it for the shell: --context '{"name": "value"}'."""
        raise JsonUnreadable(setting=source, expected="JSON", reason=str(error), advice=advice) from error
    kind = _KINDS.get(found.__class__, "an object")
    if kind != "an object":
        raise JsonUnreadable(
            setting=source,
            expected="a JSON object",
            reason=f"it is {kind}",
            advice='Give keys and values: {"name": "value"}.',
        )
    return msgspec.convert(found, dict[str, Any])


_KINDS = {
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def value_from(text: str) -> Any:
    """A JSON value if the text is one, else the text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError, UnicodeError:
        return text
