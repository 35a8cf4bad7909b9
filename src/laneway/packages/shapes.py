"""Shapes of a manifest's values: one declaration gives both the checks with their messages and the JSON Schema."""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, cast

__all__ = [
    "Anything",
    "Choice",
    "Either",
    "Flag",
    "Listing",
    "Named",
    "Number",
    "Problem",
    "Shape",
    "Table",
    "Text",
    "Whole",
    "as_list",
    "as_table",
    "json_schema",
    "problems_of",
]

type Path = tuple[str | int, ...]

_LARGEST = 2**53 - 1
"""Whole numbers stay within what every JSON reader keeps exactly."""
_SHOWN_CHARACTERS = 60


class Problem(NamedTuple):
    """One mistake: where it is, as keys and list positions, and what is wrong with it."""

    path: Path
    message: str


class Text(NamedTuple):
    """A string. `test` returns what is wrong with a value that fits the pattern, or None."""

    doc: str
    pattern: str = ""
    what: str = "text"
    most: int = 4096
    test: Callable[[str], str | None] | None = None


class Flag(NamedTuple):
    """True or false."""

    doc: str


class Whole(NamedTuple):
    """A whole number within bounds, both included."""

    doc: str
    least: int = 0
    most: int = _LARGEST


class Number(NamedTuple):
    """A finite number more than 0, at most `most`."""

    doc: str
    most: float = 1e9


class Choice(NamedTuple):
    """One of a few words."""

    doc: str
    words: tuple[str, ...]


class Listing(NamedTuple):
    """A list whose items all have one shape."""

    doc: str
    item: Shape
    least: int = 0
    unique: bool = True


class Table(NamedTuple):
    """A closed table: any other key is a mistake."""

    doc: str
    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    """Exactly one of these keys must be there."""


class Named(NamedTuple):
    """A table whose keys are names given by the author, all with values of one shape."""

    doc: str
    name: Text
    item: Shape


class Either(NamedTuple):
    """The first shape whose kind the value has."""

    doc: str
    shapes: tuple[Shape, ...]


class Anything(NamedTuple):
    """Any TOML value that JSON can hold."""

    doc: str


type Shape = Text | Flag | Whole | Number | Choice | Listing | Table | Named | Either | Anything


def problems_of(shape: Shape, value: object, path: Path = ()) -> Iterator[Problem]:
    """Every way in which `value` differs from `shape`, in the order of the value."""
    if not _has_kind(shape, value):
        yield Problem(path, f"must be {_kind_name(shape)}, not {_value_name(value)}")
    elif isinstance(shape, Table):
        yield from _table_problems(shape, as_table(value), path)
    elif isinstance(shape, Named):
        for name, item in as_table(value).items():
            yield from _named(shape.name, name, (*path, name))
            yield from problems_of(shape.item, item, (*path, name))
    elif isinstance(shape, Listing):
        yield from _listing_problems(shape, value, path)
    elif isinstance(shape, Either):
        yield from problems_of(next(one for one in shape.shapes if _has_kind(one, value)), value, path)
    elif isinstance(shape, Anything):
        yield from _json_problems(value, path)
    else:
        complaint = _complaint(shape, value)
        if complaint:
            yield Problem(path, complaint)


def _table_problems(shape: Table, value: dict[str, Any], path: Path) -> Iterator[Problem]:
    for key, item in value.items():
        if key in shape.fields:
            yield from problems_of(shape.fields[key], item, (*path, key))
        else:
            near = get_close_matches(key[:_SHOWN_CHARACTERS], shape.fields, 1, 0.5)
            advice = f"did you mean {near[0]!r}?" if near else f"the keys here are {', '.join(shape.fields)}"
            yield Problem((*path, key), f"is not a key of {_table_name(path)}: {advice}")
    for key in shape.required:
        if key not in value:
            yield Problem(path, f"needs the key {key!r} ({_doc(shape.fields[key])})")
    if shape.one_of:
        given = [key for key in shape.one_of if key in value]
        if len(given) != 1:
            found = f"not both {' and '.join(given)}" if given else "none is there"
            yield Problem(path, f"needs exactly one of {', '.join(shape.one_of)}: {found}")


def _listing_problems(shape: Listing, value: Any, path: Path) -> Iterator[Problem]:
    if len(value) < shape.least:
        yield Problem(path, f"needs at least {shape.least} {'item' if shape.least == 1 else 'items'}")
    for index, item in enumerate(value):
        yield from problems_of(shape.item, item, (*path, index))
    if shape.unique:
        seen: set[str] = set()
        for index, item in enumerate(value):
            if isinstance(item, str) and item in seen:
                yield Problem((*path, index), f"names {_shown(item)} twice")
            elif isinstance(item, str):
                seen.add(item)


def _named(shape: Text, name: str, path: Path) -> Iterator[Problem]:
    complaint = _complaint(shape, name)
    if complaint:
        yield Problem(path, f"has a name that {complaint}")


def _complaint(shape: Shape, value: Any) -> str | None:
    """What is wrong with a plain value of the right kind."""
    if isinstance(shape, Text):
        if not value.strip():
            return "must not be empty"
        if len(value) > shape.most:
            return f"must have at most {shape.most} characters, this has {len(value):,}"
        if not value.isprintable():
            return f"has characters that cannot be printed: {_shown(value)}"
        if shape.pattern and not re.fullmatch(shape.pattern, value):
            return f"must be {shape.what}, not {_shown(value)}"
        return shape.test(value) if shape.test else None
    if isinstance(shape, Choice) and value not in shape.words:
        near = get_close_matches(str(value)[:_SHOWN_CHARACTERS], shape.words, 1, 0.5)
        advice = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(shape.words)}"
        return f"cannot be {_shown(value)}: {advice}"
    if isinstance(shape, Whole) and not shape.least <= value <= shape.most:
        return f"must be from {shape.least} to {shape.most}"
    if isinstance(shape, Number) and not 0 < value <= shape.most:
        return f"must be more than 0 and at most {shape.most:g}"
    return None


def _json_problems(value: object, path: Path) -> Iterator[Problem]:
    pending: list[tuple[Any, Path]] = [(value, path)]
    while pending:
        item, where = pending.pop()
        table, listed = as_table(item), as_list(item)
        if table or listed or item in ({}, []):
            pending.extend((table[key], (*where, key)) for key in reversed(table))
            pending.extend((inner, (*where, index)) for index, inner in reversed([*enumerate(listed)]))
        elif isinstance(item, float) and (item != item or item in (float("inf"), float("-inf"))):
            yield Problem(where, "is not a finite number, which JSON cannot hold")
        elif isinstance(item, int) and abs(item) > _LARGEST:
            yield Problem(where, f"is beyond {_LARGEST}, which JSON readers do not keep exactly")
        elif not isinstance(item, str | bool | int | float):
            yield Problem(where, f"is {_value_name(item)}, which JSON cannot hold: write it as text")


def _has_kind(shape: Shape, value: object) -> bool:
    if isinstance(shape, Text | Choice):
        return isinstance(value, str)
    if isinstance(shape, Flag):
        return isinstance(value, bool)
    if isinstance(shape, Whole):
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(shape, Number):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(shape, Listing):
        return isinstance(value, list)
    if isinstance(shape, Table | Named):
        return isinstance(value, dict)
    if isinstance(shape, Either):
        return any(_has_kind(one, value) for one in shape.shapes)
    return True


def _kind_name(shape: Shape) -> str:
    if isinstance(shape, Either):
        return " or ".join(_kind_name(one) for one in shape.shapes)
    names: dict[type, str] = {
        Text: "text",
        Choice: "text",
        Flag: "true or false",
        Whole: "a whole number",
        Number: "a number",
        Listing: "a list",
    }
    return names.get(type(shape), "a table")


def _value_name(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    names: dict[type, str] = {
        str: "text",
        int: "a whole number",
        float: "a number",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _table_name(path: Path) -> str:
    return f"[{'.'.join(str(part) for part in path)}]" if path else "the manifest"


def as_list(value: Any) -> list[Any]:
    """A value as a list; what is none counts as empty."""
    return value if value.__class__ is list else []


def as_table(value: object) -> dict[str, Any]:
    """A value as a table; what is none counts as empty."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")


def _doc(shape: Shape) -> str:
    return shape.doc[0].lower() + shape.doc[1:].rstrip(".") if shape.doc else ""


def json_schema(shape: Shape) -> dict[str, Any]:
    """The same shape as JSON Schema (2020-12), for editors."""
    schema: dict[str, Any] = {"description": shape.doc} if shape.doc else {}
    if isinstance(shape, Text):
        schema |= {"type": "string", "minLength": 1, "maxLength": shape.most}
        if shape.pattern:
            schema["pattern"] = f"^(?:{shape.pattern})$"
    elif isinstance(shape, Choice):
        schema["enum"] = list(shape.words)
    elif isinstance(shape, Flag):
        schema["type"] = "boolean"
    elif isinstance(shape, Whole):
        schema |= {"type": "integer", "minimum": shape.least, "maximum": shape.most}
    elif isinstance(shape, Number):
        schema |= {"type": "number", "exclusiveMinimum": 0, "maximum": shape.most}
    elif isinstance(shape, Listing):
        schema |= {
            "type": "array",
            "items": json_schema(shape.item),
            "minItems": shape.least,
            "uniqueItems": shape.unique,
        }
    elif isinstance(shape, Table):
        schema |= _table_schema(shape)
    elif isinstance(shape, Named):
        names = {key: rule for key, rule in json_schema(shape.name).items() if key != "description"}
        schema |= {"type": "object", "propertyNames": names, "additionalProperties": json_schema(shape.item)}
    elif isinstance(shape, Either):
        schema["anyOf"] = [json_schema(one) for one in shape.shapes]
    return schema


def _table_schema(shape: Table) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: json_schema(inner) for key, inner in shape.fields.items()},
    }
    if shape.required:
        schema["required"] = list(shape.required)
    if shape.one_of:
        schema["oneOf"] = [{"required": [key]} for key in shape.one_of]
    return schema
