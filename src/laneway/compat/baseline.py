"""What counts as a failure: wishes of `--fail-on`, a baseline of what is accepted, and what changed since a report."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from laneway._core.compat import STATUSES
from laneway.compat.errors import BaselineUnreadable
from laneway.compat.matrix import FindingRow, Report, Row

__all__ = [
    "FAIL_ON",
    "Accepted",
    "Baseline",
    "Change",
    "baseline_of",
    "changes_between",
    "failures_of",
    "read_baseline",
    "read_report",
]

FAIL_ON = ("red", "yellow", "unknown", "error", "warning", "note")
"""Statuses of dependencies, and severities of findings in the project's own source."""

_FORMAT = 1
_SEVERITIES = ("note", "warning", "error")


class Accepted(msgspec.Struct, frozen=True):
    """A dependency's state as it was accepted."""

    version: str
    status: str
    answer: str


class Baseline(msgspec.Struct, frozen=True):
    """What was there when the baseline was written. It is meant to be committed: sorted, and free of line numbers."""

    format: int
    dependencies: dict[str, Accepted]
    findings: dict[str, int]
    """`RULE path: message` and how often it occurs; where in the file does not matter."""


class Change(msgspec.Struct, frozen=True):
    """One difference between two reports."""

    name: str
    what: str
    """`better`, `worse`, `added`, `removed` or `changed`."""
    before: str
    after: str


def baseline_of(report: Report) -> Baseline:
    """Accept everything that the report shows."""
    accepted = {
        row.name: Accepted(row.version, row.status, _answers(row, report.aspects))
        for row in sorted(report.rows, key=lambda row: row.name)
        if row.status != "green"
    }
    counts = Counter(map(_fingerprint, report.findings))
    return Baseline(_FORMAT, accepted, {key: counts[key] for key in sorted(counts)})


def _answers(row: Row, aspects: Iterable[str]) -> str:
    return ", ".join(f"{aspect}: {row.verdict(aspect).answer}" for aspect in aspects)


def _fingerprint(one: FindingRow) -> str:
    return f"{one.rule} {one.path}: {one.message}"


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        BaselineUnreadable: it is not there, or not a baseline.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Baseline)
    except (OSError, msgspec.DecodeError) as error:
        raise BaselineUnreadable(
            file=str(path), reason=str(error), advice="Make one with --write-baseline FILE"
        ) from error
    if found.format != _FORMAT:
        raise BaselineUnreadable(
            file=str(path),
            reason=f"it has format {found.format}",
            advice="Make a new one with --write-baseline",
        )
    return found


def read_report(path: Path) -> Report:
    """Read a report that was written with `--json`.

    Raises:
        BaselineUnreadable: it is not there, or not a report.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError) as error:
        raise BaselineUnreadable(
            file=str(path), reason=str(error), advice="Make one with `laneway compat --json > FILE`"
        ) from error


def failures_of(report: Report, fail_on: Iterable[str], baseline: Baseline | None) -> list[str]:
    """Everything that fails the check, one line each; what the baseline accepts does not, unless it got worse."""
    wishes = set(fail_on)
    found = [
        f"{row.name} {row.version} is {row.status}: {_reason(row, report.aspects)}"
        for row in report.rows
        if row.status in wishes and not _is_accepted(row, baseline)
    ]
    levels = [one for one in _SEVERITIES if one in wishes]
    if levels:
        lowest = min(map(_SEVERITIES.index, levels))
        left = Counter(baseline.findings if baseline is not None else {})
        for one in report.findings:
            if _SEVERITIES.index(one.severity) < lowest:
                continue
            key = _fingerprint(one)
            if left[key] > 0:
                left[key] -= 1
                continue
            found.append(f"{one.path}:{one.line}: {one.rule} {one.message}")
    return found


def _is_accepted(row: Row, baseline: Baseline | None) -> bool:
    known = baseline.dependencies.get(row.name) if baseline is not None else None
    if known is None:
        return False
    order: Sequence[str] = STATUSES
    return known.status in order and order.index(row.status) <= order.index(known.status)


def _reason(row: Row, aspects: Sequence[str]) -> str:
    cause = row.cause(aspects)
    return cause.reason or cause.answer


def changes_between(old: Report, new: Report) -> list[Change]:
    """What is different in the dependencies, the worst news first."""
    before: Mapping[str, Row] = {row.name: row for row in old.rows}
    after: Mapping[str, Row] = {row.name: row for row in new.rows}
    order: Sequence[str] = STATUSES
    found: list[Change] = []
    for name in sorted({*before, *after}):
        first, second = before.get(name), after.get(name)
        if first is None and second is not None:
            found.append(Change(name, "added", "", _told(second)))
        elif second is None and first is not None:
            found.append(Change(name, "removed", _told(first), ""))
        elif first is not None and second is not None and _told(first) != _told(second):
            difference = order.index(second.status) - order.index(first.status)
            what = "worse" if difference > 0 else "better" if difference < 0 else "changed"
            found.append(Change(name, what, _told(first), _told(second)))
    ranks = ("worse", "added", "changed", "better", "removed")
    return sorted(found, key=lambda one: (ranks.index(one.what), one.name))


def _told(row: Row) -> str:
    return f"{row.version} {row.status} ({row.interpreter.answer}, free-threaded {row.free_threaded.answer})"
