"""Compatibility facts and what follows from them: records of a probe, statuses, reasons and ways out. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

__all__ = [
    "STATUSES",
    "Extension",
    "FreeThreaded",
    "Import",
    "Layer",
    "Mention",
    "Probe",
    "Refusal",
    "Status",
    "Verdict",
    "judge_free_threaded",
    "judge_interpreter",
    "refuses",
    "worst",
]

type Status = Literal["green", "yellow", "red", "unknown"]

STATUSES: tuple[Status, ...] = ("green", "yellow", "unknown", "red")
"""From best to worst."""


class Extension(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one extension module says about itself.

    `initialisation`: `multi-phase`, `single-phase`, `unreadable` (its libraries are missing, or its init failed),
    `not-an-extension` (a plain library), or how reading it ended. `interpreters`: `per-interpreter-gil`, `shared-gil`,
    `not-supported` or `undeclared`. `gil`: `not-used`, `used` or `undeclared`.
    """

    module: str
    file: str
    initialisation: str
    interpreters: str = "undeclared"
    gil: str = "undeclared"
    reason: str = ""


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """One extension module that could not be created, whether or not the importing code swallowed the error."""

    module: str
    file: str
    kind: str
    text: str
    owner: str = ""
    """The distribution it belongs to; `the standard library` or empty where that is not known."""


class Import(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt to import modules in one place: how far it came and what was refused on the way."""

    modules: tuple[str, ...]
    place: Literal["main", "isolated"]
    rounds: int = 0
    """Interpreters in which all of it worked."""
    kind: str = ""
    """The exception's type; empty if there was none."""
    text: str = ""
    at: str = ""
    """The module being imported when it failed, or `smoke`."""
    ended: str = ""
    """A crash, an exit or a hang in words; empty if the child finished."""
    refused: tuple[Refusal, ...] = ()
    loaded: tuple[str, ...] = ()
    gil: tuple[str, ...] = ()
    """Extension modules whose import turned the GIL on."""
    is_gil_on: bool = True
    forked: bool = False
    smoke: bool = False
    """True if a registered smoke call ran after the imports."""
    seconds: float = 0.0
    memory_kib: int = 0

    @property
    def works(self) -> bool:
        """Whether everything was imported."""
        return not (self.kind or self.ended or self.forked)


class Mention(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a distribution's own Python code imports one of its extension modules."""

    module: str
    file: str
    line: int
    guarded: bool
    """True if an ImportError is caught there and the code goes on without it."""


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the deeper tests and what it found; `problem` is empty if it passed."""

    name: str
    modules: int
    problem: str = ""
    seconds: float = 0.0


class Probe(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that was found out about one distribution in one interpreter."""

    name: str
    version: str
    python: str
    tops: tuple[str, ...] = ()
    extensions: tuple[Extension, ...] = ()
    top: Import | None = None
    control: Import | None = None
    """The same import in the main interpreter; only tried where the isolated one failed."""
    each: tuple[Import, ...] = ()
    """Modules that declare support, each in fresh interpreters."""
    mentions: tuple[Mention, ...] = ()
    layers: tuple[Layer, ...] = ()
    free_threaded: FreeThreaded | None = None
    seconds: float = 0.0
    memory_kib: int = 0
    level: Literal["normal", "deep"] = "normal"


class FreeThreaded(msgspec.Struct, frozen=True, omit_defaults=True):
    """What importing it on a free-threaded build did; `wheel` names the installed wheel's tags there."""

    python: str
    top: Import | None = None
    wheel: str = ""
    problem: str = ""
    """Why it could not be tried there, such as no wheel."""
    extensions: int = 0
    """Extension modules installed there."""
    is_native_elsewhere: bool = False
    """True if the build with a GIL has extension modules."""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What follows: a status, the answer in one word, the reason and the way out."""

    status: Status
    answer: str
    reason: str = ""
    module: str = ""
    blame: str = ""
    """The distribution that is responsible, when it is another one."""
    way_out: str = ""


_LANES = "use the process lane"
_WHY = {
    "single-phase": "single-phase initialisation",
    "not-supported": "it declares that it does not support several interpreters",
    "shared-gil": "it supports several interpreters only with a shared GIL",
    "undeclared": "no multi-interpreter support declared",
}


def refuses(extension: Extension) -> str:
    """Why an isolated interpreter must refuse this extension module; empty if it declares support or is no module."""
    if extension.initialisation == "single-phase":
        return _WHY["single-phase"]
    if extension.initialisation == "multi-phase" and extension.interpreters != "per-interpreter-gil":
        return _WHY[extension.interpreters]
    return ""


def worst(statuses: Sequence[Status]) -> Status:
    """The worst of several statuses; green if there is none."""
    ranks = [STATUSES.index(one) for one in statuses]
    return STATUSES[max(ranks, default=0)]


def judge_interpreter(probe: Probe) -> Verdict:
    """Whether a distribution works in an isolated interpreter."""
    if probe.top is None:
        return Verdict("unknown", "unknown", "it has no module that can be imported")
    why = {one.module: refuses(one) for one in probe.extensions}
    top = probe.top
    if top.forked:
        return Verdict(
            "red",
            "refused",
            "it forks while it is imported, which a process with interpreters does not survive",
            way_out=_LANES,
        )
    if not top.works:
        return _failed(probe, top, why)
    trouble = _declared_but_fails(probe)
    if trouble is not None:
        return trouble
    return _swallowed(probe, top, why) or _later(probe, top, why) or Verdict("green", "loads")


def _failed(probe: Probe, top: Import, why: Mapping[str, str]) -> Verdict:
    control = probe.control
    if control is not None and control.ended and top.ended:
        return Verdict(
            "red",
            "broken",
            f"{top.ended}, in the main interpreter too",
            top.at,
            way_out="do not import it here",
        )
    if control is not None and not control.works:
        said = control.ended or f"{control.kind}: {control.text}"
        missing = "cannot open shared object file" in said
        reason = (
            "a system library is missing: "
            if missing
            else "it does not import in the main interpreter either: "
        )
        return Verdict("unknown", "env-error", reason + said, control.at, way_out=_after(missing))
    if top.ended:
        first = "" if top.rounds == 0 else f" in interpreter {top.rounds + 1}, after it loaded in the first"
        return Verdict("red", "refused", f"{top.ended}{first}", top.at, way_out=_LANES)
    refusal = _decisive(top)
    if refusal is None:
        said = f"{top.kind}: {top.text}"
        place = "when it is used" if top.at == "smoke" else f"importing {top.at}"
        if top.rounds:
            place += " in the second interpreter"
        return Verdict("red", "refused", f"fails {place}: {said}", top.at, way_out=_LANES)
    return _refused(probe, refusal, why)


def _refused(probe: Probe, refusal: Refusal, why: Mapping[str, str]) -> Verdict:
    own = refusal.owner in ("", probe.name)
    reason = why.get(refusal.module) or _from_text(refusal)
    if own:
        return Verdict("red", "refused", f"{refusal.module}: {reason}", refusal.module, way_out=_LANES)
    told = f"needs {refusal.module} of {refusal.owner}: {reason}"
    return Verdict("red", "refused", told, refusal.module, refusal.owner, _LANES)


def _decisive(top: Import) -> Refusal | None:
    """The refusal that the failure speaks of: the last one that its text names, else the last."""
    named = [one for one in top.refused if one.module in top.text or one.text[:60] in top.text]
    if named:
        return named[-1]
    by_package = [
        one for one in top.refused if top.kind == "ImportError" and one.owner != "the standard library"
    ]
    return by_package[-1] if by_package else None


def _from_text(refusal: Refusal) -> str:
    if "does not support loading in subinterpreters" in refusal.text:
        return "it does not declare support for isolated interpreters"
    return refusal.text if refusal.kind == "refused" else f"{refusal.kind}: {refusal.text}"


def _after(missing: bool) -> str:
    return "install the system library and probe again" if missing else "put its import right first"


def _declared_but_fails(probe: Probe) -> Verdict | None:
    for one in probe.each:
        if one.works or one.refused:
            continue
        said = one.ended or ("it forks" if one.forked else f"{one.kind}: {one.text}")
        if "it needs other parts" in one.text:
            continue
        reason = f"{one.modules[0]} declares support and yet fails by itself: {said}"
        return Verdict("red", "refused", reason, one.modules[0], way_out=_LANES)
    for layer in probe.layers:
        if layer.problem:
            status: Status = "yellow" if layer.name == "object ids" else "red"
            answer = "leaks" if layer.name == "object ids" else "refused"
            return Verdict(status, answer, f"{layer.name}: {layer.problem}", way_out=_LANES)
    return None


def _swallowed(probe: Probe, top: Import, why: Mapping[str, str]) -> Verdict | None:
    refused = [one for one in top.refused if one.owner != "the standard library"]
    own = [one for one in refused if one.owner in ("", probe.name)]
    if own:
        first = own[0]
        reason = why.get(first.module) or _from_text(first)
        more = f" (and {len(own) - 1} more)" if len(own) > 1 else ""
        text = f"{first.module}{more} is refused ({reason}); it goes on without, slower or with less"
        return Verdict("yellow", "fallback", text, first.module, way_out=f"measure it, or {_LANES}")
    if refused:
        first = refused[0]
        text = f"{first.module} of {first.owner} is refused ({_from_text(first)}); it goes on without"
        return Verdict(
            "yellow", "fallback", text, first.module, first.owner, way_out=f"measure it, or {_LANES}"
        )
    return None


def _later(probe: Probe, top: Import, why: Mapping[str, str]) -> Verdict | None:
    """Extensions that the top import does not touch and that will be refused when somebody uses them."""
    if top.smoke:
        return None
    refusing = [one for one in probe.extensions if why[one.module]]
    if not refusing:
        return None
    waiting = {one.module: why[one.module] for one in refusing}
    needed = [one for one in probe.mentions if one.module in waiting and not one.guarded]
    guarded = {one.module for one in probe.mentions if one.guarded}
    is_all = len(refusing) == sum(one.initialisation.endswith("-phase") for one in probe.extensions)
    if is_all and not needed and not probe.mentions:
        first_module = refusing[0].module
        reason = f"{first_module} is all there is to use, and refused: {waiting[first_module]}"
        return Verdict("red", "refused", reason, first_module, way_out=_LANES)
    if needed and is_all:
        first = needed[0]
        place = f"{first.file}:{first.line}"
        reason = f"{first.module} is imported on first use ({place}) and refused: {waiting[first.module]}"
        return Verdict("red", "refused", reason, first.module, way_out=_LANES)
    name = (needed[0] if needed else refusing[0]).module
    tail = "; its code goes on without" if name in guarded else "; whatever imports it fails"
    answer = "fallback" if name in guarded or not needed else "part"
    more = f" (and {len(refusing) - 1} more)" if len(refusing) > 1 else ""
    reason = f"{name}{more} is not imported at first, and refused ({waiting[name]}){tail}"
    return Verdict("yellow", answer, reason, name, way_out=f"try what you use of it, or {_LANES}")


def judge_free_threaded(facts: FreeThreaded | None) -> Verdict:
    """Whether a distribution keeps the GIL off, where that was tried."""
    if facts is None:
        return Verdict(
            "unknown", "not tried", way_out="give a free-threaded interpreter: --free-threaded PYTHON"
        )
    if facts.problem:
        return Verdict("red", "no-wheel", facts.problem, way_out="build it there, or use processes")
    top = facts.top
    if top is None:
        return Verdict("unknown", "unknown", "it has no module that can be imported")
    if not top.works:
        said = top.ended or f"{top.kind}: {top.text}"
        return Verdict("red", "fails", said, top.at, way_out="use a build with a GIL")
    if top.gil or top.is_gil_on:
        names = ", ".join(top.gil) or "an extension module"
        return Verdict(
            "red", "gil-reenabled", f"{names} turns the GIL on", way_out="use processes for parallel work"
        )
    if facts.is_native_elsewhere and not facts.extensions:
        return Verdict(
            "yellow", "pure-fallback", "its compiled part has no wheel there; it runs in pure Python"
        )
    return Verdict("green", "ok", "the GIL stays off")
