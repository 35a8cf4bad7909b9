"""The adoption checklist: phases with steps that are ticked, open or blocked, filled from the facts of a report."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from laneway.compat.matrix import Report, Row, summary_of

__all__ = ["Phase", "Step", "checklist_of"]


class Step(msgspec.Struct, frozen=True):
    """One step: `done`, `open` or `blocked`, and the fact that says so."""

    state: Literal["done", "open", "blocked"]
    text: str
    fact: str


class Phase(msgspec.Struct, frozen=True):
    """One phase of moving a project to isolated interpreters or the free-threaded build."""

    name: str
    steps: tuple[Step, ...]


def checklist_of(report: Report) -> list[Phase]:
    """Assessment, spike, both versions in CI, switch, clean-up."""
    return [
        Phase("1. Assessment", tuple(_assessment(report))),
        Phase("2. Spike", tuple(_spike(report))),
        Phase("3. Both versions in CI", tuple(_ci(report))),
        Phase("4. Switch", tuple(_switch(report))),
        Phase("5. Clean-up", tuple(_clean_up(report))),
    ]


def _assessment(report: Report) -> list[Step]:
    counts = summary_of(report.rows)
    unknown = [row.name for row in report.rows if row.status == "unknown"]
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    steps = [
        Step("done", "Probe every dependency", f"{len(report.rows)} on {report.python}: {told or 'none'}"),
        Step("open" if unknown else "done", "Leave nothing unknown", _some(unknown) or "nothing is unknown"),
        Step(
            "done" if report.deep else "open",
            "Probe deeply what you will rely on (`--deep`)",
            "this report is a deep one" if report.deep else "this report only imports the top modules",
        ),
    ]
    if report.reviewed_files >= 0:
        fact = f"{report.reviewed_files} files, {len(report.findings)} findings"
        steps.append(Step("done", "Review your own source", fact))
    else:
        steps.append(Step("open", "Review your own source", "give --source DIR"))
    trial = report.free_threaded_python
    fact = f"tried on {trial}" if trial else "only what wheels declare is known; give --free-threaded PYTHON"
    return [*steps, Step("done" if trial else "open", "Try the free-threaded build", fact)]


def _spike(report: Report) -> list[Step]:
    direct = [row for row in report.rows if row.is_direct] or list(report.rows)
    good = [row.name for row in direct if row.interpreter.status == "green"]
    red = [row.name for row in direct if row.interpreter.status == "red"]
    removed = [one for one in report.findings if one.severity == "error"]
    return [
        Step(
            "open" if good or not report.rows else "blocked",
            "Move one task that only needs green dependencies to the interpreter lane",
            f"green and direct: {_some(good) or 'none'}",
        ),
        Step("done" if not red else "open", "Give the others the process lane", _some(red) or "none is red"),
        Step(
            "done" if report.benchmark else "open",
            "Measure it on every lane (`laneway bench lanes TARGET --save`)",
            "measured, see above" if report.benchmark else "not measured",
        ),
        Step(
            "open" if removed else "done" if report.reviewed_files >= 0 else "open",
            "Put right what Python 3.14 removed",
            f"{len(removed)} errors in your source"
            if report.reviewed_files >= 0
            else "the source was not reviewed",
        ),
    ]


def _ci(report: Report) -> list[Step]:
    facts = report.facts
    versions = facts.get("ci_versions", [])
    has_both = any(str(one).startswith("3.14") for one in versions) and len(versions) > 1
    told = f"CI names {', '.join(map(str, versions))}" if versions else "no CI configuration was found"
    missing = [row.name for row in report.rows if row.install.status in ("red", "yellow")]
    return [
        Step("done" if has_both else "open", "Test on the old version and on 3.14 side by side", told),
        Step(
            "done" if facts.get("baseline") else "open",
            "Run `laneway compat --fail-on red --baseline FILE` on every change",
            f"baseline {facts['baseline']}" if facts.get("baseline") else "there is no baseline yet",
        ),
        Step(
            "blocked" if missing else "done",
            "Every dependency installs from a wheel",
            _some(missing) or "all of them do",
        ),
    ]


def _switch(report: Report) -> list[Step]:
    red = [row for row in report.rows if row.status == "red"]
    shared = [one for one in report.findings if one.rule.startswith("FT")]
    requires = str(report.facts.get("requires_python", ""))
    steps = [
        Step(
            "blocked" if red else "open",
            'Let `lane="auto"` choose interpreters for the rest',
            f"{_owners(red)} must stay on processes" if red else "nothing stands against it",
        ),
        Step(
            "done" if ">=3.14" in requires.replace(" ", "") else "open",
            "Require Python 3.14",
            f"requires-python is {requires}" if requires else "requires-python is not set",
        ),
    ]
    if report.reviewed_files >= 0:
        fact = f"{len(shared)} findings about shared state" if shared else "no findings about shared state"
        steps.append(Step("open" if shared else "done", "Guard shared state before you share threads", fact))
    return steps


def _clean_up(report: Report) -> list[Step]:
    deprecated = [one for one in report.findings if one.rule in ("PY103", "PY104", "PY105", "PY109")]
    old = [
        row.name
        for row in report.rows
        if row.interpreter.status == "red" and row.latest not in ("", row.version)
    ]
    fact = f"{len(deprecated)} uses" if report.reviewed_files >= 0 else "the source was not reviewed"
    is_clean = report.reviewed_files >= 0 and not deprecated
    return [
        Step("done" if is_clean else "open", "Remove what is deprecated", fact),
        Step(
            "open" if old else "done",
            "Take newer releases of red dependencies",
            _some(old) or "none is newer",
        ),
        Step("open", "Drop workarounds and old versions from CI", "after the switch"),
    ]


def _owners(red: Sequence[Row]) -> str:
    """Who is responsible, each once."""
    return _some(sorted({row.interpreter.blame or row.name for row in red}))


def _some(names: Sequence[str], most: int = 6) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
