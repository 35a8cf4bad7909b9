"""`laneway.toml` as frozen records: every mistake found at once, with its line and the nearest valid name."""

import platform
import sys
import tomllib
from collections.abc import Iterator
from datetime import datetime
from difflib import get_close_matches
from typing import Any, cast

import msgspec
from packaging.specifiers import SpecifierSet

from laneway._core.errors import ManifestInvalid, PackageUnsuitable
from laneway.packages._tables import MANIFEST, duration_seconds
from laneway.packages.lines import lines_of
from laneway.packages.shapes import Problem, as_list, as_table, json_schema, problems_of

__all__ = [
    "MANIFEST_NAME",
    "RESERVED",
    "LaneWishes",
    "Manifest",
    "ScheduleTable",
    "TriggerTable",
    "WorkflowTable",
    "check_python",
    "manifest_schema",
    "read_manifest",
]

MANIFEST_NAME = "laneway.toml"
_MOST_BYTES = 256 * 1024
_MOST_PROBLEMS = 50
RESERVED = frozenset(sys.stdlib_module_names) | {"laneway"}
"""Names that no entry module can have: in its package they would hide what is needed there."""

type Pairs = tuple[tuple[str, Any], ...]
"""Settings as (dotted key, value) in sorted order; lists are tuples, so that records stay hashable."""


class WorkflowTable(msgspec.Struct, frozen=True):
    """`[workflows.NAME]`."""

    name: str
    tasks: tuple[str, ...]
    merge: tuple[tuple[str, str], ...] = ()
    description: str = ""


class LaneWishes(msgspec.Struct, frozen=True):
    """`[lanes]`: what the package says about lanes over what its code says."""

    default: str = "auto"
    fallback: bool | None = None
    tasks: tuple[tuple[str, str], ...] = ()


class ScheduleTable(msgspec.Struct, frozen=True):
    """`[schedule.NAME]`. Exactly one of `cron`, `every_seconds` and `at` is set."""

    name: str
    workflow: str
    cron: str | None = None
    every_seconds: float | None = None
    at: str | None = None
    timezone: str = "UTC"
    parameters: dict[str, Any] = {}
    misfire: str = "once"
    misfire_limit: int | None = None
    jitter_seconds: float = 0.0
    overlap: bool = False
    parallel_safe: bool = False
    paused: bool = False


class TriggerTable(msgspec.Struct, frozen=True):
    """`[trigger.NAME]`. Exactly one of `http`, `files` and `follows` is set."""

    name: str
    workflow: str
    http: bool = False
    files: str = ""
    follows: str = ""
    parameters: dict[str, Any] = {}
    on: tuple[str, ...] = ("succeeded",)
    pattern: str = "*"
    fields: dict[str, str] = {}
    key: str = ""
    secret: str = ""
    signature: str = ""


class Manifest(msgspec.Struct, frozen=True):
    """What `laneway.toml` says, checked."""

    name: str
    version: str
    entry_module: str
    requires_python: str = ""
    description: str = ""
    dependencies: tuple[tuple[str, str], ...] = ()
    workflows: tuple[WorkflowTable, ...] = ()
    policy: Pairs = ()
    """Only what the package asks for: keys such as `network` and `filesystem.read`. What is not here is refused."""
    limits: Pairs = ()
    """Keys such as `wall_seconds`, and `tasks.<id>.wall_seconds` for one task."""
    lanes: LaneWishes = LaneWishes()
    schedules: tuple[ScheduleTable, ...] = ()
    triggers: tuple[TriggerTable, ...] = ()


def read_manifest(content: bytes, *, source: str = MANIFEST_NAME) -> Manifest:
    """Read and check a manifest. `source` is what errors call it.

    Raises:
        ManifestInvalid: with every mistake found, not only the first.
    """
    if len(content) > _MOST_BYTES:
        raise ManifestInvalid(
            source=source, problems=[f"has {len(content):,} bytes; {_MOST_BYTES:,} is the most"]
        )
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"line {line}: byte {content[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        raise ManifestInvalid(source=source, problems=[problem]) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestInvalid(source=source, problems=[f"is not TOML: {error}"]) from None
    except (ValueError, RecursionError) as error:
        reason = (
            "is nested too deeply"
            if isinstance(error, RecursionError)
            else "holds a number that is too large"
        )
        raise ManifestInvalid(
            source=source, problems=[f"is not TOML that can be read: it {reason}"]
        ) from None
    for schedule in map(as_table, _section(data, "schedule").values()):
        moment: object = schedule.get("at")
        if isinstance(moment, datetime):
            schedule["at"] = moment.isoformat()
    problems = [*problems_of(MANIFEST, data)]
    problems += _cross_problems(data)
    if problems:
        raise ManifestInvalid(source=source, problems=_told(problems, lines_of(text)))
    return _manifest(data)


def check_python(manifest: Manifest, version: str = platform.python_version()) -> None:
    """Refuse a package that does not work on this Python (or on another version).

    Raises:
        PackageUnsuitable: `requires-python` leaves this version out.
    """
    wanted, version = manifest.requires_python, version.rstrip("+")
    if wanted and wanted != "*" and not SpecifierSet(wanted).contains(version, prereleases=True):
        raise PackageUnsuitable(
            package=f"{manifest.name} {manifest.version}",
            reason=f"it requires Python {wanted} and this is Python {version}",
            advice="Run it on a Python that fits, or change requires-python in laneway.toml",
        )


def manifest_schema() -> dict[str, Any]:
    """The manifest's JSON Schema, as published in `docs/reference/laneway.schema.json`."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": MANIFEST_NAME}
    return head | json_schema(MANIFEST)


def _cross_problems(data: dict[str, Any]) -> Iterator[Problem]:
    """Mistakes that no single value shows."""
    entry = _section(data, "package").get("entry_module")
    top = entry.split(".")[0] if isinstance(entry, str) else ""
    if top in RESERVED:
        owner = "Laneway itself" if top == "laneway" else "the standard library"
        yield Problem(
            ("package", "entry_module"), f"is {entry!r}, but {top!r} belongs to {owner}: rename the module"
        )
    for name, table in _section(data, "trigger").items():
        yield from _trigger_problems(name, as_table(table))
    workflows = _section(data, "workflows")
    if not workflows:
        return
    for section in ("schedule", "trigger"):
        for name, table in _section(data, section).items():
            wanted: object = as_table(table).get("workflow")
            if isinstance(wanted, str) and wanted not in workflows:
                near = get_close_matches(wanted, workflows, 1)
                advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(workflows))}"
                yield Problem(
                    (section, name, "workflow"), f"names the workflow {wanted!r}, which is not here: {advice}"
                )


_BELONGS = {
    "on": "follows",
    "pattern": "files",
    "fields": "http",
    "key": "http",
    "secret": "http",
    "signature": "http",
}
"""Keys of a trigger that make sense beside one other key alone."""


def _trigger_problems(name: str, table: dict[str, Any]) -> Iterator[Problem]:
    for key, owner in _BELONGS.items():
        if key in table and owner not in table:
            yield Problem(("trigger", name, key), f"belongs to {owner}, which is not there")
    if table.get("http") is False:
        yield Problem(("trigger", name, "http"), "is either true or not there")
    if "signature" in table and "secret" not in table:
        yield Problem(
            ("trigger", name, "signature"), "needs the key 'secret' (the name of the secret to sign with)"
        )
    fields, told_by = as_table(table.get("fields")), table.get("key")
    if fields and isinstance(told_by, str) and fields.get(told_by) not in ("string", "integer"):
        yield Problem(
            ("trigger", name, "key"), f"is {told_by!r}: it must be one of fields, a string or an integer"
        )


def _section(data: dict[str, Any], key: str) -> dict[str, Any]:
    return as_table(data.get(key))


def _told(problems: list[Problem], lines: dict[tuple[str, ...], int]) -> list[str]:
    told: list[tuple[int, str]] = []
    for problem in problems:
        line = _line(problem.path, lines)
        place = f"line {line}: " if line else ""
        told.append((line or 0, f"{place}{_path_text(problem.path)} {problem.message}"))
    told.sort(key=lambda pair: pair[0])
    texts = [text for _, text in told]
    rest = len(texts) - _MOST_PROBLEMS
    return [*texts[:_MOST_PROBLEMS], f"and {rest:,} more"] if rest > 0 else texts


def _line(path: tuple[str | int, ...], lines: dict[tuple[str, ...], int]) -> int | None:
    keys = tuple(part for part in path if isinstance(part, str))
    while keys:
        if keys in lines:
            return lines[keys]
        keys = keys[:-1]
    return None


def _path_text(path: tuple[str | int, ...]) -> str:
    if not path:
        return "the manifest"
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = (
                part if part.replace("-", "").replace("_", "").isalnum() and part.isascii() else ascii(part)
            )
            text += f".{shown[:80]}" if text else shown[:80]
    return text


def _manifest(data: dict[str, Any]) -> Manifest:
    package = cast("dict[str, str]", data["package"])
    lanes = _section(data, "lanes")
    return Manifest(
        name=package["name"],
        version=package["version"],
        entry_module=package["entry_module"],
        requires_python=package.get("requires-python", ""),
        description=package.get("description", ""),
        dependencies=tuple(_section(data, "dependencies").items()),
        workflows=tuple(_workflow(name, table) for name, table in _section(data, "workflows").items()),
        policy=tuple(sorted(_flat(_section(data, "policy")))),
        limits=tuple(sorted(_flat(_section(data, "limits")))),
        lanes=LaneWishes(
            default=lanes.get("default", "auto"),
            fallback=lanes.get("fallback"),
            tasks=tuple(lanes.get("tasks", {}).items()),
        ),
        schedules=tuple(_schedule(name, table) for name, table in _section(data, "schedule").items()),
        triggers=tuple(_trigger(name, table) for name, table in _section(data, "trigger").items()),
    )


def _workflow(name: str, table: dict[str, Any]) -> WorkflowTable:
    return WorkflowTable(
        name=name,
        tasks=tuple(table["tasks"]),
        merge=tuple(sorted(table.get("merge", {}).items())),
        description=table.get("description", ""),
    )


def _schedule(name: str, table: dict[str, Any]) -> ScheduleTable:
    known = {key: value for key, value in table.items() if key not in ("every", "jitter")}
    if "every" in table:
        known["every_seconds"] = duration_seconds(table["every"])
    if "jitter" in table:
        known["jitter_seconds"] = duration_seconds(table["jitter"])
    return ScheduleTable(name=name, **known)


def _trigger(name: str, table: dict[str, Any]) -> TriggerTable:
    known = dict(table)
    if "on" in known:
        known["on"] = tuple(known["on"])
    return TriggerTable(name=name, **known)


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        inner = as_table(value)
        yield from _flat(inner, f"{prefix}{key}.")
        if not inner and value != {}:
            yield f"{prefix}{key}", value if value.__class__ is not list else tuple(as_list(value))
