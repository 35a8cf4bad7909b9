"""What `laneway compat` does: provides what is wanted, runs the batch as a workflow, and puts the report together."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid7

import msgspec

from laneway import __version__
from laneway._core.compat import FreeThreaded, Probe
from laneway.app import Engine
from laneway.cli._display import Display, display_for
from laneway.cli._execution import Told, begin, drive
from laneway.cli._interrupts import Interrupts
from laneway.compat._children import Limits
from laneway.compat._uv import Uv, find_uv
from laneway.compat.batch import Batch, batch_of
from laneway.compat.cache import cache_folder
from laneway.compat.environments import Environment, environment_of
from laneway.compat.errors import InterpreterUnusable
from laneway.compat.index import Index
from laneway.compat.matrix import Report, rows_of
from laneway.compat.project import facts_of
from laneway.compat.resolution import Provided, provide
from laneway.compat.review import DEFAULT_OFF
from laneway.compat.review_rules import RULES
from laneway.compat.risks import risks_of
from laneway.compat.sources import review_sources
from laneway.compat.wanted import Wanted
from laneway.packages import open_package
from laneway.targets import find_target

__all__ = ["CompatStopped", "Wishes", "opened", "report_for"]

_WORKFLOW = "laneway.compat.batch:probing"
_GRACE = 1.0


class CompatStopped(Exception):
    """The user stopped the batch. What was found out is kept."""


class Wishes(NamedTuple):
    """What the command was told, apart from its target."""

    python: str | None
    free_threaded: str | None
    offline: bool
    allow_build: bool
    deep: bool
    jobs: int | None
    limits: Limits
    fresh: bool
    aspects: tuple[str, ...]
    source: tuple[str, ...]
    rules: frozenset[str]
    baseline: Path | None
    benchmark: dict[str, Any] | None
    uv: str | None


def opened(wanted: Wanted) -> Wanted:
    """A package target with the places of its code and of its vendored dependencies."""
    if wanted.kind != "package":
        return wanted
    package = open_package(wanted.file)
    vendor = package.root / "vendor"
    needs = tuple(
        name if text.strip() == "*" else f"{name}{text}" for name, text in package.manifest.dependencies
    )
    return msgspec.structs.replace(
        wanted,
        label=package.label,
        requirements=needs,
        vendor=str(vendor) if vendor.is_dir() else "",
        source=(str(package.root / "src"),),
    )


async def report_for(
    wanted: Wanted, wishes: Wishes, interrupts: Interrupts, say: Callable[[str], None]
) -> Report:
    """Find everything out.

    Raises:
        CompatStopped: the user stopped it.
        LanewayError: the target, the interpreter or the resolution is not in order.
    """
    began = time.monotonic()
    folder = cache_folder()
    uv = _uv(wishes.uv)
    environment = environment_of(wishes.python)
    if wishes.free_threaded is not None:
        _free_threaded(wishes.free_threaded)
    provided = await asyncio.to_thread(
        provide,
        wanted,
        environment,
        uv=uv,
        folder=folder,
        offline=wishes.offline,
        allow_build=wishes.allow_build,
        say=say,
    )
    throw_away = [provided]
    try:
        probes, cached = await _probed(provided, environment, folder, wishes, interrupts, say)
        trials = None
        if wishes.free_threaded is not None:
            trials, used = await _tried(
                provided, _free_threaded(wishes.free_threaded), uv, folder, wishes, interrupts, say
            )
            throw_away.append(used)
        names = {one.name: one.version for one in provided.found if not one.is_editable}
        names |= {one.name: "" for one in provided.missing}
        index = _index(uv, folder, offline=wishes.offline)
        offers = await asyncio.to_thread(index.offers, names)
    finally:
        for one in throw_away:
            one.discard()
    rows = rows_of(
        provided, probes, offers, direct=wanted.direct, aspects=wishes.aspects, tag=environment.tag,
        cached=cached, trials=trials,
    )  # fmt: skip
    root = Path(wanted.file).parent if wanted.kind in ("project", "lock", "requirements") else Path.cwd()
    sources = wishes.source or wanted.source
    selected = (frozenset(RULES) - DEFAULT_OFF) | wishes.rules
    reviewed = review_sources(sources, root=root.absolute(), select=selected) if sources else None
    return Report(
        target=wanted.label,
        source=provided.note,
        python=environment.label,
        free_threaded_python=environment_of(wishes.free_threaded).label if wishes.free_threaded else "",
        made=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        laneway=__version__,
        deep=wishes.deep,
        aspects=wishes.aspects,
        rows=tuple(rows),
        risks=tuple(risks_of(rows, probes, provided.found)),
        findings=reviewed.findings if reviewed is not None else (),
        reviewed_files=reviewed.files if reviewed is not None else -1,
        benchmark=wishes.benchmark,
        facts=facts_of(root, baseline=wishes.baseline),
        seconds=round(time.monotonic() - began, 2),
    )


def _free_threaded(given: str) -> Environment:
    found = environment_of(given)
    if not found.is_free_threaded:
        raise InterpreterUnusable(
            interpreter=given, reason=f"it is {found.label} with a GIL", advice="Give a free-threaded build"
        )
    return found


def _uv(given: str | None) -> Uv | None:
    program = Path(given).expanduser() if given else find_uv()
    return Uv(program) if program is not None else None


def _index(uv: Uv | None, folder: Path, *, offline: bool) -> Index:
    indexes, links = uv.indexes() if uv is not None else ([], [])
    certificates = uv.environment.get("SSL_CERT_FILE", "") if uv is not None else ""
    return Index(indexes, links, folder, certificates=certificates, offline=offline)


async def _probed(
    provided: Provided,
    environment: Environment,
    folder: Path,
    wishes: Wishes,
    interrupts: Interrupts,
    say: Callable[[str], None],
) -> tuple[dict[str, Probe], frozenset[str]]:
    batch = batch_of(
        provided, environment, folder, deep=wishes.deep, limits=wishes.limits, fresh=wishes.fresh
    )
    if batch.orders:
        say(
            f"probing {len(batch.orders)} distributions on {environment.label}: "
            "this imports their code, in disposable processes"
        )
    found = await _run(batch, folder, wishes, interrupts)
    return {**batch.known, **found}, frozenset(batch.known)


async def _tried(
    provided: Provided,
    environment: Environment,
    uv: Uv | None,
    folder: Path,
    wishes: Wishes,
    interrupts: Interrupts,
    say: Callable[[str], None],
) -> tuple[dict[str, FreeThreaded], Provided]:
    """The same versions on the free-threaded build."""
    pins = tuple(f"{one.name}=={one.version}" for one in provided.found if not one.is_editable)
    wanted = Wanted("lock", "the same versions", requirements=pins)
    there = await asyncio.to_thread(
        provide,
        wanted,
        environment,
        uv=uv,
        folder=folder,
        offline=wishes.offline,
        allow_build=wishes.allow_build,
        say=say,
    )
    natives = frozenset(one.name for one in provided.found if one.is_native)
    batch = batch_of(
        there, environment, folder, deep=False, limits=wishes.limits, fresh=wishes.fresh,
        mode="free-threaded", natives=natives,
    )  # fmt: skip
    if batch.orders:
        say(f"importing {len(batch.orders)} distributions on {environment.label}")
    found = {**batch.known, **await _run(batch, folder, wishes, interrupts)}
    trials = {name: probe.free_threaded for name, probe in found.items() if probe.free_threaded is not None}
    for one in there.missing:
        trials[one.name] = FreeThreaded(environment.label, problem=f"cannot be installed there: {one.reason}")
    return trials, there


async def _run(batch: Batch, folder: Path, wishes: Wishes, interrupts: Interrupts) -> dict[str, Probe]:
    """Run the workflow over what is not known. The same batch, stopped or killed, goes on where it was."""
    if not batch.orders:
        return {}
    key = f"{batch.key}-{uuid7()}" if wishes.fresh else batch.key
    context = {"orders": list(batch.orders), "setting": str(batch.setting)}
    async with Engine(f"sqlite:///{folder / 'runs.db'}", workers=wishes.jobs, grace=_GRACE) as engine:
        display: Display = display_for(engine.lanes)
        target = await find_target(_WORKFLOW, engine.fleet)
        told = Told(engine)
        handle = await begin(engine, target, context, key=key, resume=None, new=False, say=display.note)
        interrupts.handled = True
        ended = await drive(
            engine, target, handle, told, display=display, title=f"probing {len(batch.orders)} distributions",
            interrupts=interrupts, grace=_GRACE,
        )  # fmt: skip
        interrupts.handled = False
        if ended.was_stopped:
            raise CompatStopped
        found = _found(ended.result.context)
        await engine.store.sweep(before=time.time() + 1)
    batch.setting.unlink(missing_ok=True)
    return found


def _found(context: Mapping[str, Any]) -> dict[str, Probe]:
    answers = msgspec.convert(context.get("probe_distribution") or [], list[Probe | None])
    return {one.name: one for one in answers if one is not None}
