"""The compatibility matrix: one row per distribution with its verdicts, the risks, and what all of it adds up to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from packaging.version import InvalidVersion, Version

from laneway._core.compat import (
    FreeThreaded,
    Probe,
    Status,
    Verdict,
    judge_free_threaded,
    judge_interpreter,
    refuses,
    worst,
)
from laneway.compat.distributions import Installed
from laneway.compat.index import Offer
from laneway.compat.resolution import Missing, Provided

__all__ = ["ASPECTS", "FindingRow", "Report", "Risk", "Row", "row_of", "rows_of", "summary_of"]

type Aspect = Literal["interpreter", "free-threaded", "install"]

ASPECTS: tuple[Aspect, ...] = ("interpreter", "free-threaded", "install")
"""What a status can be about."""

FORMAT = 1


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution."""

    name: str
    version: str
    status: Status
    """The worst of the aspects that were asked for."""
    is_direct: bool = False
    kind: Literal["native", "pure", "missing"]
    interpreter: Verdict
    free_threaded: Verdict
    install: Verdict
    wheels: dict[str, str] = {}
    latest: str = ""
    extensions: int = 0
    slots: dict[str, int] = {}
    tops: tuple[str, ...] = ()
    seconds: float = 0.0
    memory_kib: int = 0
    from_cache: bool = False

    def verdict(self, aspect: str) -> Verdict:
        """The verdict on one aspect."""
        verdicts = {"interpreter": self.interpreter, "free-threaded": self.free_threaded}
        return verdicts.get(aspect, self.install)

    def cause(self, aspects: Sequence[str]) -> Verdict:
        """The verdict that makes the status: the first of the aspects that were asked for which is as bad."""
        every = [self.verdict(one) for one in (*aspects, "install")]
        return next((one for one in every if one.status == self.status), self.interpreter)


class Risk(msgspec.Struct, frozen=True):
    """Something to keep an eye on, with the distributions it is about."""

    risk: str
    names: tuple[str, ...]
    advice: str


class FindingRow(msgspec.Struct, frozen=True):
    """One finding of the source review, its path relative to the project."""

    rule: str
    severity: str
    path: str
    line: int
    column: int
    message: str
    fix: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was found out, as it is written to JSON."""

    format: int = FORMAT
    target: str
    source: str
    """Where the distributions came from."""
    python: str
    free_threaded_python: str = ""
    made: str
    """When, in ISO 8601."""
    laneway: str
    deep: bool = False
    aspects: tuple[str, ...] = ("interpreter",)
    rows: tuple[Row, ...] = ()
    risks: tuple[Risk, ...] = ()
    findings: tuple[FindingRow, ...] = ()
    reviewed_files: int = -1
    """Files of the project's own source that were reviewed; -1 if the review was not asked for."""
    benchmark: dict[str, Any] | None = None
    """What `laneway bench lanes --json` wrote, if it was given."""
    facts: dict[str, Any] = {}
    """About the project itself: what the checklist is filled from."""
    seconds: float = 0.0


def rows_of(
    provided: Provided,
    probes: Mapping[str, Probe],
    offers: Mapping[str, Offer],
    *,
    direct: frozenset[str],
    aspects: Sequence[str],
    tag: str,
    cached: frozenset[str] = frozenset(),
    trials: Mapping[str, FreeThreaded] | None = None,
) -> list[Row]:
    """All rows, worst first, then by name."""
    why = {
        extension.module: reason
        for probe in probes.values()
        for extension in probe.extensions
        if (reason := refuses(extension))
    }
    rows = [
        row_of(
            one,
            probes.get(one.name),
            offers.get(one.name),
            why=why,
            is_direct=one.name in direct,
            aspects=aspects,
            tag=tag,
            from_cache=one.name in cached,
            trial=None
            if trials is None
            else trials.get(one.name, FreeThreaded("", problem="not installed there")),
        )
        for one in provided.found
    ]
    rows += [_missing(one, offers.get(one.name), direct) for one in provided.missing]
    order = ("red", "unknown", "yellow", "green")
    return sorted(rows, key=lambda row: (order.index(row.status), row.name))


def row_of(
    one: Installed,
    probe: Probe | None,
    offer: Offer | None,
    *,
    why: Mapping[str, str],
    is_direct: bool,
    aspects: Sequence[str],
    tag: str,
    from_cache: bool = False,
    trial: FreeThreaded | None = None,
) -> Row:
    """One distribution's row from what is known about it."""
    if probe is None:
        interpreter = Verdict("unknown", "unknown", "the probe did not end", way_out="run it again")
    else:
        interpreter = judge_interpreter(_explained(probe, why))
    interpreter = _with_newer(interpreter, one, offer)
    free = judge_free_threaded(trial) if trial is not None else _declared(one, probe, offer, tag)
    install = _install(one, offer, tag)
    verdicts = {"interpreter": interpreter, "free-threaded": free, "install": install}
    extensions = probe.extensions if probe is not None else ()
    return Row(
        name=one.name,
        version=one.version,
        status=worst([verdicts[aspect].status for aspect in aspects]),
        is_direct=is_direct,
        kind="native" if one.extensions or one.libraries else "pure",
        interpreter=interpreter,
        free_threaded=free,
        install=install,
        wheels=offer.wheels if offer is not None else {},
        latest=offer.latest if offer is not None else "",
        extensions=len(extensions),
        slots=dict(Counter(_slot(found.initialisation, found.interpreters) for found in extensions)),
        tops=probe.tops if probe is not None else one.tops,
        seconds=probe.seconds if probe is not None else 0.0,
        memory_kib=probe.memory_kib if probe is not None else 0,
        from_cache=from_cache,
    )


def _slot(initialisation: str, interpreters: str) -> str:
    return f"{initialisation}/{interpreters}" if initialisation == "multi-phase" else initialisation


def _explained(probe: Probe, why: Mapping[str, str]) -> Probe:
    """The probe with what is known about other distributions' extension modules in the texts of its refusals."""
    if probe.top is None or not probe.top.refused:
        return probe
    refused = tuple(
        msgspec.structs.replace(one, kind="refused", text=why[one.module])
        if one.module in why and one.owner not in ("", probe.name)
        else one
        for one in probe.top.refused
    )
    return msgspec.structs.replace(probe, top=msgspec.structs.replace(probe.top, refused=refused))


def _with_newer(verdict: Verdict, one: Installed, offer: Offer | None) -> Verdict:
    if verdict.status in ("green", "unknown") or offer is None or not _newer(offer.latest, one.version):
        return verdict
    way = f"try version {offer.latest} (`laneway compat '{one.name}=={offer.latest}'`), or {verdict.way_out}"
    return msgspec.structs.replace(verdict, way_out=way)


def _newer(first: str, second: str) -> bool:
    try:
        return Version(first) > Version(second)
    except InvalidVersion:
        return False


def _declared(one: Installed, probe: Probe | None, offer: Offer | None, tag: str) -> Verdict:
    """What wheels and modules say about the free-threaded build, where none was given to try it."""
    column = f"{tag.removesuffix('t')}t"
    if not one.extensions and not one.libraries and not (offer and set(offer.wheels.values()) - {"pure"}):
        return Verdict("green", "declared", "pure Python")
    wheel = offer.wheels.get(column, "") if offer is not None else ""
    using = [found.module for found in probe.extensions if found.gil == "used"] if probe is not None else []
    if wheel == column or wheel == "abi3t":
        if using:
            return Verdict(
                "yellow", "declared", f"has a {column} wheel, but {using[0]} declares that it uses the GIL"
            )
        return Verdict("green", "declared", f"has a {column} wheel")
    if wheel == "binary":
        return Verdict("green", "declared", "its wheel does not depend on the interpreter")
    if wheel == "pure":
        return Verdict(
            "yellow", "pure-fallback", f"no {column} wheel of its compiled part; pure Python there"
        )
    if offer is None or not offer.wheels:
        return Verdict("unknown", "not tried", "no index data", way_out="give --free-threaded PYTHON")
    newer = (
        f"version {offer.latest} has one"
        if offer.latest_wheels.get(column)
        else "build it there, or use processes"
    )
    return Verdict("red", "no-wheel", f"no {column} wheel", way_out=newer)


def _install(one: Installed, offer: Offer | None, tag: str) -> Verdict:
    if one.is_editable:
        return Verdict("green", "editable", "installed in editable mode")
    kinds = {tag_text.split("-")[1] for tag_text in one.tags if tag_text.count("-") >= 2}
    answer = "pure" if any(text.endswith("-none-any") for text in one.tags) else "wheel"
    if "abi3" in kinds:
        answer = "abi3"
    wheel = offer.wheels.get(tag, "") if offer is not None else ""
    if offer is not None and offer.version and not wheel and answer != "pure":
        return Verdict(
            "yellow", "source", f"the index has no {tag} wheel of {one.version}; it was built from source"
        )
    return Verdict("green", answer)


def _missing(one: Missing, offer: Offer | None, direct: frozenset[str]) -> Row:
    way = f"version {offer.latest} is the newest" if offer is not None and offer.latest else "check its name"
    status: Status = "red" if one.is_unavailable else "unknown"
    verdict = Verdict(status, "not installed", one.reason, way_out=way)
    other = Verdict("unknown", "unknown", "it is not installed")
    return Row(
        name=one.name, version="", status=status, is_direct=one.name in direct, kind="missing",
        interpreter=other, free_threaded=other, install=verdict, latest=offer.latest if offer else "",
        wheels=offer.wheels if offer else {},
    )  # fmt: skip


def summary_of(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows have which status."""
    counts = Counter(row.status for row in rows)
    return {status: counts.get(status, 0) for status in ("green", "yellow", "red", "unknown")}
