"""From a workflow to something an engine can run: its plan, and per task its code and its lane."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import msgspec

from laneway._core.errors import WorkflowInvalid
from laneway._core.lane_choice import LaneChoice, LaneFacts, choose
from laneway._core.lane_times import TaskTimes
from laneway._core.model import TaskSpec, WorkflowSpec
from laneway._core.plan import Plan, plan_of
from laneway.authoring import Workflow
from laneway.compat.gate import CapabilityGate, UnitLike
from laneway.compat.measured import MeasuredTimes
from laneway.engine.target import Runnable, Target, of_file, with_fingerprint
from laneway.engine.traffic import Traffic
from laneway.lanes._fleet import Fleet
from laneway.ports import Lane, Store, Unit
from laneway.settings import Settings

if TYPE_CHECKING:
    from laneway.packages import Trust

__all__ = ["Assembly", "collector", "fleet_from", "publisher", "trust_from"]


class Assembly:
    """Plans workflows for one engine's lanes; a `Workflow` is planned once."""

    def __init__(self, lanes: Mapping[str, Lane], traffic: Traffic | None = None) -> None:
        self._lanes = lanes
        self._traffic = Traffic() if traffic is None else traffic
        self._known: WeakKeyDictionary[Workflow, Runnable] = WeakKeyDictionary()
        self._gate = CapabilityGate()
        self._measured = MeasuredTimes()

    def runnable(self, workflow: Workflow | Target) -> Runnable:
        """A workflow planned, with its code and lanes.

        Raises:
            WorkflowInvalid: all mistakes at once, lanes that cannot run a task among them.
        """
        if isinstance(workflow, Workflow):
            known = self._known.get(workflow)
            if known is None and (target := of_file(workflow)) is not None:
                known = self._known[workflow] = self.runnable(target)
            if known is None:
                specs = tuple(with_fingerprint(one) for one in workflow.spec.tasks)
                units = {one.id: _host_unit(one) for one in specs}
                spec = workflow.spec._replace(tasks=specs)
                known = self._known[workflow] = self._made(spec, units, f"{workflow.module}:{workflow.name}")
            return known
        spec = workflow.workflow
        units = {one.id: workflow.unit or _host_unit(one) for one in spec.tasks}
        return self._made(spec, units, workflow.reference)

    def choice(self, spec: TaskSpec, unit: Unit, measured: TaskTimes | None = None) -> LaneChoice:
        """Which lane a task would take, and why; with `measured` by that instead of what was kept."""
        if measured is None and spec.lane == "auto" and spec.cpu:
            measured = self._measured.look(spec, unit)
        facts = LaneFacts(
            self.refusals(spec, unit),
            frozenset(self._lanes),
            measured,
            self._on_processes(),
        )
        return choose(spec, facts)

    def refusals(self, spec: TaskSpec, unit: Unit) -> dict[str, str]:
        """Per lane that cannot run a task, why."""
        refusals = {
            name: reason for name, lane in self._lanes.items() if (reason := lane.refusal(unit, spec))
        }
        if "interpreter" not in refusals and (reason := self._native_refusal(spec, unit)):
            refusals["interpreter"] = reason
        return refusals

    def _on_processes(self) -> bool:
        return bool(getattr(self._lanes.get("interpreter"), "runs_on_processes", ""))

    def _native_refusal(self, spec: TaskSpec, unit: Unit) -> str | None:
        """Why the unit's native modules keep a task off the interpreter lane; asked only where it would take it."""
        wants_it = spec.lane == "interpreter" or (spec.lane == "auto" and spec.cpu)
        if not wants_it or "interpreter" not in self._lanes or self._on_processes():
            return None
        found = self._gate.look(UnitLike(unit.key, unit.kind, unit.entry, unit.paths))
        return found.refusal(strictly=spec.lane == "auto")

    def _made(self, spec: WorkflowSpec, units: Mapping[str, Unit], reference: str) -> Runnable:
        problems: list[str] = []
        plan: Plan | None = None
        try:
            plan = plan_of(spec, lanes=list(self._lanes))
        except WorkflowInvalid as error:
            problems += error.problems
        choices = {one.id: self.choice(one, units[one.id]) for one in spec.tasks}
        problems += [one.refused for one in choices.values() if one.refused and one.lane in self._lanes]
        problems += [one for task in spec.tasks if (one := self._traffic.problem_with(task)) is not None]
        if problems or plan is None:
            raise WorkflowInvalid(workflow=spec.name, problems=problems)
        return Runnable(
            plan,
            tuple(units[one.id] for one in plan.tasks),
            tuple(
                self._traffic.through(one, units[one.id], self._lanes[choices[one.id].lane])
                for one in plan.tasks
            ),
            reference,
            msgspec.json.encode({one.id: one.fingerprint for one in plan.tasks}),
        )


def fleet_from(
    settings: Settings, *, workers: int | None, interpreters: bool | None, broker: str | None
) -> Fleet:
    """The fleet of an engine; what it was not told comes from the settings."""
    fleet = Fleet(
        workers=settings.workers if workers is None else workers,
        interpreters=settings.interpreters if interpreters is None else interpreters,
    )
    fleet.broker = settings.celery_broker if broker is None else broker
    fleet.broker_patience = settings.celery_patience
    return fleet


def publisher(store: Store) -> Callable[[Unit, str], Awaitable[None]] | None:
    """What leaves packages in a store, for workers on other machines; None where only this program sees it.

    It is told the package, and the workflow whose steps use it.
    """
    if getattr(store, "url", "memory:").startswith("memory:"):
        return None

    async def publish(unit: Unit, workflow: str) -> None:
        # Programs without packages never need these imports.
        from laneway.packages.depot import leave  # noqa: PLC0415

        await leave(store, unit, workflow)

    return publish


def collector(store: Store) -> Callable[[float], Awaitable[int]]:
    """What takes packages out of a store that nobody used since that epoch second; says how many."""

    async def collect(before: float) -> int:
        if not await store.read("documents", kind="package-use"):
            return 0
        # As above.
        from laneway.packages import depot  # noqa: PLC0415

        return (await depot.collect(store, before=before)).packages

    return collect


def trust_from(given: Trust | None) -> Trust | None:
    """Whose packages an engine runs, checked; None where the settings say.

    Raises:
        SettingInvalid: it is something else.
    """
    if given is None:
        return None
    # Programs without packages never need these imports.
    from laneway.packages.signing import checked_trust  # noqa: PLC0415

    return checked_trust(given)


def _host_unit(spec: TaskSpec) -> Unit:
    """The module or script of the running program that a task lives in."""
    module = spec.reference.partition(":")[0]
    inherited = tuple(str(Path(one).absolute()) if one else str(Path.cwd()) for one in sys.path)
    if module == "__main__":
        return Unit(f"script:{spec.file}", "script", spec.file, inherited=inherited, name=spec.file)
    return Unit(f"module:{module}", "module", module, inherited=inherited, name=module)
