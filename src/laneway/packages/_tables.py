"""The tables of `laneway.toml`, declared once: checks, JSON Schema and reference documentation come from here."""

import keyword
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from laneway._core.jobs import FIELD_TYPES
from laneway._core.model import LANES
from laneway.packages.shapes import (
    Anything,
    Choice,
    Either,
    Flag,
    Listing,
    Named,
    Number,
    Shape,
    Table,
    Text,
    Whole,
)

__all__ = ["DURATION", "LIMITS", "MANIFEST", "MERGES", "POLICY", "duration_seconds", "moment_of"]

MERGES = ("last", "first", "concat", "union", "sum", "min", "max")
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._\-]{0,62}[A-Za-z0-9])?"
_DOTTED = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_LABEL = r"[^\x00-\x1f\x7f\ud800-\udfff]{1,128}"
DURATION = r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?(?:ms|s|m|h|d))+"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_seconds(text: str) -> float:
    """`1h30m`, `90s`, `250ms` in seconds."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)(ms|s|m|h|d)", text))


def moment_of(text: str) -> datetime:
    """An ISO 8601 moment; without an offset it is taken as UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _version_complaint(value: str) -> str | None:
    try:
        Version(value)
    except InvalidVersion:
        return f"is not a version that Python packaging knows: {value!r}; write it like '1.2.0'"
    return None


def _specifier_complaint(value: str) -> str | None:
    if value.strip() == "*":
        return None
    try:
        SpecifierSet(value)
    except InvalidSpecifier:
        return f"is not a version specifier: {value!r}; write it like '>=2.1,<3' or '*' for any"
    return None


def _requirement_complaint(value: str) -> str | None:
    try:
        found = Requirement(value)
    except InvalidRequirement:
        return f"is not the name of a distribution: {value!r}"
    if found.url or found.specifier or found.marker:
        return f"must be a name alone, not {value!r}; the version goes to the right of the equals sign"
    return None


def _keyword_complaint(value: str) -> str | None:
    bad = [part for part in value.split(".") if keyword.iskeyword(part)]
    return f"uses the Python keyword {bad[0]!r}" if bad else None


def _cron_complaint(value: str) -> str | None:
    try:
        CronSim(value, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError:
        return f"is not a cron expression: {value!r}; write five fields such as '*/15 8-18 * * mon-fri'"
    return None


def _zone_complaint(value: str) -> str | None:
    try:
        ZoneInfo(value)
    except ZoneInfoNotFoundError, ValueError, OSError:
        return f"is not a time zone: {value!r}; write it like 'Europe/Zurich' or 'UTC'"
    return None


def _moment_complaint(value: str) -> str | None:
    try:
        moment_of(value)
    except ValueError:
        return f"is not a date and time: {value!r}; write it like '2027-01-31T08:00:00+01:00'"
    return None


def _allowed(doc: str, item: str) -> Shape:
    return Either(
        f"{doc} false (the default) refuses all, true allows all, a list allows those named.",
        (Flag(""), Listing("", Text(item))),
    )


POLICY: dict[str, Shape] = {
    "network": _allowed("Whom the package may talk to, as `host` or `host:port`.", "A host, or host:port."),
    "filesystem": Table(
        "Files outside the package that it may use.",
        {
            "read": _allowed(
                "Files and folders it may read.", "An absolute path, or one relative to the run's folder."
            ),
            "write": _allowed(
                "Files and folders it may write.", "An absolute path, or one relative to the run's folder."
            ),
        },
    ),
    "subprocess": _allowed("Programs it may start.", "A program's name or path."),
    "environment": _allowed("Environment variables it may see.", "A variable's name."),
    "native": _allowed("Modules in native code it may load.", "A module's name."),
    "threads": Flag("Whether it may start threads. false is the default."),
}

_TASK_LIMITS: dict[str, Shape] = {
    "wall_seconds": Number("Wall time of one attempt.", most=31_536_000),
    "cpu_seconds": Number("CPU time of one attempt.", most=31_536_000),
    "memory_mib": Whole("Memory of the worker, in MiB.", least=1),
    "context_kib": Whole("Size of the context it is given, in KiB.", least=1),
    "output_kib": Whole("Size of what it returns and prints, in KiB.", least=1),
    "concurrency": Whole("Attempts at one time.", least=1, most=1_000_000),
    "open_files": Whole("Open files and sockets.", least=8, most=1_000_000),
    "child_processes": Whole("Child processes.", least=0, most=1_000_000),
    "stop": Choice(
        "What must be able to stop it: `kill` allows only lanes that kill.", ("ask", "interrupt", "kill")
    ),
}

_TASK_ID = Text("A task's id.", _LABEL, "one line of at most 128 characters")

LIMITS: dict[str, Shape] = _TASK_LIMITS | {
    "import_seconds": Number("Time to import the entry module.", most=86_400),
    "tasks": Named("Limits of single tasks.", _TASK_ID, Table("Limits of one task.", _TASK_LIMITS)),
}

_LANE = Choice("A built-in lane.", LANES)
_ENTRY = Text("The module that is imported to find tasks.", _DOTTED, "a module name", 255, _keyword_complaint)

_PACKAGE = Table(
    "What this package is.",
    {
        "name": Text(
            "The package's name.", _NAME, "letters, digits, '.', '_' and '-', at most 64 characters", 64
        ),
        "version": Text("The package's version.", "", "a version", 64, _version_complaint),
        "entry_module": _ENTRY,
        "requires-python": Text(
            "The Python versions it works on.", "", "a specifier", 256, _specifier_complaint
        ),
        "description": Text("One line for people.", "", "text", 1024),
    },
    required=("name", "version", "entry_module"),
)

_WORKFLOW = Table(
    "A workflow made of this package's tasks.",
    {
        "tasks": Listing("Ids of its tasks, in the order that breaks ties.", _TASK_ID, least=1),
        "merge": Named(
            "How values of one context key from unordered tasks are combined.",
            Text("A context key.", _LABEL, "one line of at most 128 characters"),
            Choice("The way to combine.", MERGES),
        ),
        "description": Text("One line for people.", "", "text", 1024),
    },
    required=("tasks",),
)

_LANES_TABLE = Table(
    "Lanes for this package's tasks, over what the code says.",
    {
        "default": _LANE._replace(doc="The lane of tasks that leave it to Laneway."),
        "fallback": Flag("Whether tasks may take another lane when theirs cannot run them."),
        "tasks": Named("The lane of single tasks.", _TASK_ID, _LANE),
    },
)

_DURATION_SHAPE = Text("A duration.", DURATION, "a duration such as '90s', '15m' or '1h30m'", 64)

_SCHEDULE = Table(
    "When to start a workflow.",
    {
        "workflow": Text("The workflow's name.", _LABEL, "one line of at most 128 characters"),
        "cron": Text("Five cron fields.", "", "text", 256, _cron_complaint),
        "every": _DURATION_SHAPE._replace(doc="The time between two starts."),
        "at": Text("One moment, ISO 8601.", "", "text", 64, _moment_complaint),
        "timezone": Text("The time zone of `cron`; UTC by default.", "", "text", 64, _zone_complaint),
        "parameters": Named(
            "The run's initial context.", Text("A context key.", _LABEL, "one line"), Anything("A value.")
        ),
        "misfire": Choice("What to do with missed starts.", ("skip", "once", "all")),
        "misfire_limit": Whole("How many missed starts are made up at most.", least=1, most=100_000),
        "jitter": _DURATION_SHAPE._replace(doc="Starts are delayed by a random time up to this."),
        "overlap": Flag("Whether a start may happen while the last run goes on."),
        "parallel_safe": Flag("Whether it may run together with others that are due at the same moment."),
        "paused": Flag("Whether it starts paused."),
    },
    required=("workflow",),
    one_of=("cron", "every", "at"),
)

_CONTEXT_KEY = Text("A context key.", _LABEL, "one line of at most 128 characters")

_TRIGGER = Table(
    "What starts a workflow, other than time.",
    {
        "workflow": Text("The workflow's name.", _LABEL, "one line of at most 128 characters"),
        "http": Flag("Calls of `POST /triggers/PACKAGE/NAME`; true."),
        "files": Text("A folder: files and folders that appear there."),
        "follows": Text("The name of a workflow: the ends of its runs.", _LABEL, "one line"),
        "parameters": Named("The run's initial context.", _CONTEXT_KEY, Anything("A value.")),
        "on": Listing(
            "Of `follows`: which ends; successes by default.",
            Choice("How it ended.", ("succeeded", "failed", "cancelled")),
            least=1,
        ),
        "pattern": Text("Of `files`: which names, such as `*.csv`.", "", "a pattern", 256),
        "fields": Named(
            "Of `http`: what the body may hold.",
            _CONTEXT_KEY,
            Choice(
                "A type; with `?` it may be missing.",
                tuple(f"{one}{may}" for one in FIELD_TYPES for may in ("", "?")),
            ),
        ),
        "key": Text("Of `http`: the field of the body that tells one call from another.", _LABEL, "one line"),
        "secret": Text("Of `http`: the name of the secret that callers must know.", _NAME, "a name", 64),
        "signature": Text(
            "Of `http`: the header with the body's signature by it.", "[A-Za-z0-9-]{1,64}", "a header"
        ),
    },
    required=("workflow",),
    one_of=("http", "files", "follows"),
)

_AUTHOR_NAME = Text("A name.", _LABEL, "one line of at most 128 characters")

MANIFEST = Table(
    "A Laneway package.",
    {
        "package": _PACKAGE,
        "dependencies": Named(
            "Distributions to vendor, with their versions.",
            Text("A distribution's name, with extras if any.", "", "a name", 256, _requirement_complaint),
            Text("The versions that will do; `*` for any.", "", "a specifier", 256, _specifier_complaint),
        ),
        "workflows": Named("Workflows, unless they are found in the code.", _AUTHOR_NAME, _WORKFLOW),
        "policy": Table("What the package may do. Everything else is refused.", POLICY),
        "limits": Table("Bounds for all tasks of the package together or each.", LIMITS),
        "lanes": _LANES_TABLE,
        "schedule": Named("When workflows start.", _AUTHOR_NAME, _SCHEDULE),
        "trigger": Named("What else starts workflows.", _AUTHOR_NAME, _TRIGGER),
    },
    required=("package",),
)
