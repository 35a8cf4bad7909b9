"""What to keep an eye on: risks that follow from the rows and probes of a report."""

from collections import Counter
from collections.abc import Mapping, Sequence

from packaging.version import InvalidVersion, Version

from laneway._core.compat import Probe
from laneway.compat.distributions import Installed
from laneway.compat.matrix import Risk, Row

__all__ = ["risks_of"]


def risks_of(rows: Sequence[Row], probes: Mapping[str, Probe], found: Sequence[Installed]) -> list[Risk]:
    """All risks that apply, the ones that concern most first."""
    risks = [
        *_gates(rows),
        *_crashes(probes),
        _of(
            "fall back to slower or smaller pure-Python code in an interpreter",
            [row.name for row in rows if row.interpreter.answer == "fallback"],
            "Measure your own work with `laneway bench lanes` before you move it.",
        ),
        _of(
            "refuse only when they are used, not when they are imported",
            [
                row.name
                for row in rows
                if "first" in row.interpreter.reason and row.interpreter.status != "green"
            ],
            "A successful import proves nothing for these: keep them on the process lane.",
        ),
        _of(
            "load native libraries past the import system (ctypes, plain libraries)",
            [one.name for one in found if one.libraries and not one.extensions],
            "No interpreter check covers these: their global state is shared by all interpreters of a process.",
        ),
        _of(
            "are not stable releases",
            [one.name for one in found if _is_prerelease(one.version)],
            "The resolver chose a pre-release, perhaps because nothing else fits; pin what you tested.",
        ),
        _of(
            "are older than the newest release",
            [row.name for row in rows if row.latest and _is_older(row.version, row.latest)],
            "Newer releases may support more: probe them by name.",
        ),
        _of(
            "have stable-ABI modules (abi3), which a free-threaded build cannot load",
            [one.name for one in found if any(".abi3.so" in file.path for file in one.extensions)],
            "They need a wheel of their own there.",
        ),
        _of(
            "turn the GIL on or have no wheel for the free-threaded build",
            [row.name for row in rows if row.free_threaded.status == "red"],
            "One of them in a process is enough to lose the parallel threads.",
        ),
        _of(
            "were installed in editable mode and are probed by name only",
            [one.name for one in found if one.is_editable],
            "Their results are not kept: their files change.",
        ),
    ]
    return [one for one in risks if one is not None]


def _of(risk: str, names: Sequence[str], advice: str) -> Risk | None:
    return Risk(risk, tuple(sorted(names)), advice) if names else None


def _gates(rows: Sequence[Row]) -> list[Risk]:
    """Distributions that decide over others."""
    counts = Counter(
        row.interpreter.blame for row in rows if row.interpreter.status == "red" and row.interpreter.blame
    )
    return [
        Risk(
            f"{gate} keeps {count} other{'s' if count > 1 else ''} out of isolated interpreters",
            tuple(sorted(row.name for row in rows if row.interpreter.blame == gate)),
            f"Watch {gate}'s releases: its support decides.",
        )
        for gate, count in counts.most_common()
    ]


def _crashes(probes: Mapping[str, Probe]) -> list[Risk]:
    crashed = sorted(
        name
        for name, probe in probes.items()
        if any(one.initialisation.startswith(("crash", "hang", "exit")) for one in probe.extensions)
        or any(one is not None and one.ended for one in (probe.top, *probe.each))
    )
    advice = "Only run these in processes of their own, with limits."
    risk = _of("crashed, hung or ended the process when they were probed", crashed, advice)
    return [risk] if risk is not None else []


def _is_prerelease(version: str) -> bool:
    try:
        return Version(version).is_prerelease
    except InvalidVersion:
        return False


def _is_older(version: str, latest: str) -> bool:
    try:
        return Version(version) < Version(latest)
    except InvalidVersion:
        return False
