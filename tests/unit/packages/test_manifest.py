"""The manifest: every mistake at once, with its line and the nearest valid name; the JSON Schema is in step."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laneway._core.errors import ManifestInvalid, PackageUnsuitable
from laneway.packages._tables import MANIFEST, duration_seconds
from laneway.packages.lines import lines_of
from laneway.packages.manifest import check_python, manifest_schema, read_manifest
from laneway.packages.shapes import (
    Choice,
    Either,
    Listing,
    Named,
    Shape,
    Table,
    Text,
    problems_of,
)

ROOT = Path(__file__).parents[3]
BASE = '[package]\nname = "shop"\nversion = "1.0"\nentry_module = "shop_tasks"\n'

FULL = (
    BASE
    + """
requires-python = ">=3.14"
description = "A shop."

[dependencies]
attrs = ">=23,<30"
"requests[socks]" = "*"

[workflows.nightly]
tasks = ["load", "report"]
merge = { totals = "sum" }
description = "Every night."

[policy]
network = ["api.example.org:443"]
filesystem.read = ["data"]
filesystem.write = false
subprocess = true
threads = true

[limits]
wall_seconds = 1.5
memory_mib = 256
stop = "kill"
tasks.load.wall_seconds = 60

[lanes]
default = "process"
fallback = true
tasks.report = "thread"

[schedule.every-night]
workflow = "nightly"
cron = "30 2 * * *"
timezone = "Europe/Zurich"
parameters = { day = "today" }
misfire = "once"
jitter = "1m30s"

[schedule.once]
workflow = "nightly"
at = 2027-01-31T08:00:00+01:00
"""
)


def _problems(text: str) -> list[str]:
    with pytest.raises(ManifestInvalid) as caught:
        read_manifest(text.encode())
    return caught.value.problems


def test_full_manifest_is_read_into_records() -> None:
    found = read_manifest(FULL.encode())
    assert (found.name, found.version, found.entry_module) == ("shop", "1.0", "shop_tasks")
    assert found.dependencies == (("attrs", ">=23,<30"), ("requests[socks]", "*"))
    assert found.workflows[0].tasks == ("load", "report")
    assert found.workflows[0].merge == (("totals", "sum"),)
    assert dict(found.policy)["network"] == ("api.example.org:443",)
    assert dict(found.policy)["filesystem.read"] == ("data",)
    assert dict(found.limits) == {
        "memory_mib": 256,
        "stop": "kill",
        "tasks.load.wall_seconds": 60,
        "wall_seconds": 1.5,
    }
    assert found.lanes.tasks == (("report", "thread"),)
    assert found.schedules[0].jitter_seconds == 90
    assert found.schedules[1].at == "2027-01-31T08:00:00+01:00"


TRIGGERS = (
    FULL
    + """
[trigger.order]
workflow = "nightly"
http = true
fields = { order = "integer", note = "string?" }
key = "order"
secret = "shop"
signature = "X-Signature"

[trigger.drop]
workflow = "nightly"
files = "/spool"
pattern = "*.csv"
parameters = { path = "{path}" }

[trigger.next]
workflow = "nightly"
follows = "other"
on = ["failed", "cancelled"]
"""
)


def test_triggers_are_read_into_records() -> None:
    order, drop, following = read_manifest(TRIGGERS.encode()).triggers
    assert (order.http, order.fields["note"], order.key, order.signature) == (
        True,
        "string?",
        "order",
        "X-Signature",
    )
    assert (drop.files, drop.pattern, drop.parameters) == ("/spool", "*.csv", {"path": "{path}"})
    assert (following.follows, following.on) == ("other", ("failed", "cancelled"))


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('http = true\nfiles = "/x"', "needs exactly one of http, files, follows: not both http and files"),
        ("", "needs exactly one of http, files, follows: none is there"),
        ("http = false", "is either true or not there"),
        ('files = "/x"\nkey = "n"', "belongs to http, which is not there"),
        ('http = true\nfields = { n = "int" }', "cannot be 'int'"),
        (
            'http = true\nfields = { n = "string?" }\nkey = "n"',
            "must be one of fields, a string or an integer",
        ),
        ('http = true\nsignature = "X-S"', "needs the key 'secret'"),
        ('follows = "x"\non = ["ended"]', "cannot be 'ended'"),
    ],
)
def test_mistakes_in_triggers_are_told(table: str, problem: str) -> None:
    (told,) = _problems(f'{FULL}\n[trigger.t]\nworkflow = "nightly"\n{table}\n')
    assert problem in told
    (unknown,) = _problems(f'{FULL}\n[trigger.t]\nworkflow = "nigtly"\nhttp = true\n')
    assert "did you mean 'nightly'?" in unknown


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    text = """
[package]
nme = "shop"
version = "x y"
entry_module = "json"
[dependecies]
attrs = ">>23"
[workflows.nightly]
tasks = ["a",
  3]
merge = {k = "lst"}
[policy]
netwrk = true
filesystem.read = 3
[schedule.s]
workflow = "nigtly"
cron = "* *"
every = "5x"
"""
    assert _problems(text) == [
        "line 2: package needs the key 'name' (the package's name)",
        "line 3: package.nme is not a key of [package]: did you mean 'name'?",
        "line 4: package.version is not a version that Python packaging knows: 'x y'; write it like '1.2.0'",
        "line 5: package.entry_module is 'json', but 'json' belongs to the standard library: rename the module",
        "line 6: dependecies is not a key of the manifest: did you mean 'dependencies'?",
        "line 9: workflows.nightly.tasks[1] must be text, not a whole number",
        "line 11: workflows.nightly.merge.k cannot be 'lst': did you mean 'last'?",
        "line 13: policy.netwrk is not a key of [policy]: did you mean 'network'?",
        "line 14: policy.filesystem.read must be true or false or a list, not a whole number",
        "line 15: schedule.s needs exactly one of cron, every, at: not both cron and every",
        "line 16: schedule.s.workflow names the workflow 'nigtly', which is not here: did you mean 'nightly'?",
        "line 17: schedule.s.cron is not a cron expression: '* *'; write five fields such as '*/15 8-18 * * mon-fri'",
        "line 18: schedule.s.every must be a duration such as '90s', '15m' or '1h30m', not '5x'",
    ]


def test_ten_thousand_mistakes_are_counted_not_all_listed() -> None:
    problems = _problems("\n".join(f"[key{number}]" for number in range(10_000)))
    assert len(problems) == 51
    assert problems[-1] == "and 9,951 more"


def test_python_that_does_not_fit_is_refused_with_both_versions() -> None:
    found = read_manifest((BASE + 'requires-python = ">=3.99"').encode())
    with pytest.raises(PackageUnsuitable, match=r"requires Python >=3\.99 and this is Python 3\.14\.1"):
        check_python(found, "3.14.1")
    check_python(read_manifest((BASE + 'requires-python = ">=3.14"').encode()), "3.15.0b2")


def test_durations_add_up() -> None:
    assert duration_seconds("1h30m") == 5400
    assert duration_seconds("250ms") == 0.25


def test_lines_are_found_under_quoted_and_dotted_keys_and_after_long_strings() -> None:
    text = '[a."b.c"]\nd.e = """\n[not.a.table]\nx = 1\n"""\n"q r" = [\n  "[",\n]\nlast = 1\n'
    found = lines_of(text)
    assert found["a", "b.c"] == 1
    assert found["a", "b.c", "d", "e"] == 2
    assert found["a", "b.c", "q r"] == 6
    assert found["a", "b.c", "last"] == 9
    assert ("not",) not in found


def test_published_schema_is_the_one_made_from_the_checks() -> None:
    published = json.loads((ROOT / "docs/reference/laneway.schema.json").read_text(encoding="utf-8"))
    assert published == manifest_schema(), (
        "run: python -m laneway.packages.schema > docs/reference/laneway.schema.json"
    )


def test_reference_page_names_every_key() -> None:
    page = (ROOT / "docs/reference/manifest.md").read_text(encoding="utf-8")
    missing = [key for key in _keys(MANIFEST) if f"`{key}`" not in page]
    assert missing == []


def _keys(shape: Shape) -> list[str]:
    if isinstance(shape, Table):
        return [*shape.fields, *[key for inner in shape.fields.values() for key in _keys(inner)]]
    return _keys(shape.item) if isinstance(shape, Named | Listing) else []


def _fits(schema: Any, given: object) -> bool:
    """The part of JSON Schema that ours uses."""
    value: Any = given
    if "anyOf" in schema:
        return any(_fits(one, value) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds: Any = {
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "array": list,
        "object": dict,
    }
    kind = schema.get("type")
    if kind is None:
        return True
    if not issubclass(type(given), kinds[kind]) or (type(given) is bool and kind != "boolean"):
        return False
    if kind == "string":
        long = schema.get("minLength", 0) <= len(value) <= schema["maxLength"]
        return long and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
    if kind in ("integer", "number"):
        lowest = schema.get("minimum", value)
        return bool(
            lowest <= value <= schema["maximum"] and value > schema.get("exclusiveMinimum", value - 1)
        )
    if kind == "array":
        return len(value) >= schema["minItems"] and all(_fits(schema["items"], one) for one in value)
    if kind == "object":
        return _object_fits(schema, value)
    return True


def _object_fits(schema: dict[str, Any], value: dict[str, Any]) -> bool:
    properties = schema.get("properties", {})
    extra = schema["additionalProperties"]
    if any(key not in value for key in schema.get("required", [])):
        return False
    if (
        "oneOf" in schema
        and sum(all(key in value for key in one["required"]) for one in schema["oneOf"]) != 1
    ):
        return False
    for key, item in value.items():
        if "propertyNames" in schema and not _fits(schema["propertyNames"], key):
            return False
        if key in properties:
            if not _fits(properties[key], item):
                return False
        elif extra is False or not _fits(extra, item):
            return False
    return True


def _values(shape: Shape) -> st.SearchStrategy[Any]:
    """Values near a shape: mostly right, sometimes wrong."""
    wrong = st.one_of(
        st.integers(-5, 5), st.text(max_size=5), st.booleans(), st.just({}), st.just([]), st.floats(0, 9)
    )
    if isinstance(shape, Text):
        right: st.SearchStrategy[Any] = st.sampled_from(
            ["shop", "1.0", ">=3", "*", "a.b", "* * * * *", "UTC", "90s", "2027-01-01T00:00:00"]
        )
    elif isinstance(shape, Choice):
        right = st.sampled_from([*shape.words, "no"])
    elif isinstance(shape, Either):
        right = st.one_of([_values(one) for one in shape.shapes])
    elif isinstance(shape, Listing):
        right = st.lists(_values(shape.item), max_size=3)
    elif isinstance(shape, Named):
        right = st.dictionaries(st.sampled_from(["one", "two"]), _values(shape.item), max_size=2)
    elif isinstance(shape, Table):
        optional = {key: _values(inner) for key, inner in shape.fields.items()}
        right = st.fixed_dictionaries({}, optional=optional)
    else:
        right = wrong
    return right if isinstance(shape, Table) else st.one_of(right, right, right, right, wrong)


@given(_values(MANIFEST))
def test_what_the_checks_accept_the_schema_accepts(value: Any) -> None:
    if not [*problems_of(MANIFEST, value)]:
        assert _fits(manifest_schema(), value)


@given(_values(MANIFEST.fields["schedule"]))
def test_what_the_schema_refuses_the_checks_refuse_too(value: Any) -> None:
    if not _fits(manifest_schema()["properties"]["schedule"], value):
        assert [*problems_of(MANIFEST.fields["schedule"], value)]


@given(st.binary(max_size=300))
def test_any_bytes_give_a_manifest_or_its_mistakes(content: bytes) -> None:
    with contextlib.suppress(ManifestInvalid):
        assert read_manifest(content).name


@given(st.text(max_size=200))
def test_lines_of_any_text_are_found_without_an_error(text: str) -> None:
    assert all(line >= 1 for line in lines_of(text).values())
