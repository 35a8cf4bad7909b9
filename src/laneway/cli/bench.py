"""`laneway bench`: the same calls inline and on every lane, with a verdict; and what was kept of it."""

import asyncio
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import rich_click as click

from laneway._core.lane_times import NotMeasured, TaskTimes
from laneway.app import Engine
from laneway.assembly import Assembly
from laneway.bench.inputs import collect
from laneway.bench.lanes import LANES, Settings, measure
from laneway.bench.result import as_data
from laneway.bench.workloads import WORKLOADS
from laneway.cli import _screen as screen
from laneway.cli._bench_progress import BenchProgress
from laneway.cli._bench_view import show_kept, show_result
from laneway.cli._errors import CANCELLED, FAILED, SUCCEEDED
from laneway.cli._interrupts import Interrupts
from laneway.cli._options import context_from, debug_option, json_option
from laneway.compat.measured import MeasuredTimes
from laneway.engine.target import Target
from laneway.ports import StepOrder
from laneway.targets import find_target

__all__ = ["bench"]

_DEFAULT_WORKLOAD = "primes"


class Measured:
    """What the command has found out so far."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.tasks: list[TaskTimes] = []
        self.missing: list[NotMeasured] = []
        self.kept: list[Path] = []
        self.was_stopped = False


@click.group("bench")
def bench() -> None:
    """Measure tasks inline and on every lane, and show what was kept of it."""


@bench.command("lanes")
@click.argument("target", required=False)
@click.option(
    "--workload",
    metavar="NAME",
    help="Measure this built-in workload; `--workload list` lists them. Default: primes.",
)
@click.option("-c", "pairs", multiple=True, metavar="KEY=VALUE", help="Set one key of the context.")
@click.option(
    "--context",
    "document",
    metavar="JSON",
    help="The context as a JSON object; @FILE reads a file, - standard input.",
)
@click.option("--task", "only", multiple=True, metavar="ID", help="Measure only this task.")
@click.option(
    "--lane", "lanes", multiple=True, type=click.Choice(LANES), help="Compare only this lane with inline."
)
@click.option(
    "--rounds", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Rounds that count."
)
@click.option(
    "--calls", type=click.IntRange(1, 100_000), help="Calls in a round; default: by how long one takes."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="After this time a task gets no further round.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Workers of the isolated lanes; default: one per core."
)
@click.option(
    "--any-output",
    is_flag=True,
    help="Do not compare outputs, for tasks whose output changes from call to call.",
)
@click.option("--save", is_flag=True, help='Keep the result: lane="auto" and the adoption report use it.')
@json_option
@debug_option
@click.pass_context
def lanes(
    ctx: click.Context,
    /,
    target: str | None,
    workload: str | None,
    pairs: tuple[str, ...],
    document: str | None,
    only: tuple[str, ...],
    **options: Any,
) -> None:
    """Run the same calls inline and on every lane, compare outputs and times, and judge.

    TARGET is what `laneway run` takes: a package folder, a .lane file, file.py:workflow, module:workflow. Without one a
    built-in workload is measured. The workflow runs once with the context; what its tasks were given is what they are
    measured with. Then every task is called many times: do not measure tasks that send, pay or delete.

    Exit status: 0 measured, 1 a lane failed or gave other outputs than inline, or nothing could be measured, 2 usage,
    3 stopped.
    """
    if workload == "list":
        screen.print_table(
            ["workload", "what it does"], [[name, one.about] for name, one in WORKLOADS.items()]
        )
        return
    if target is not None and workload is not None:
        raise click.UsageError("give a TARGET or --workload, not both")
    if workload is not None and workload not in WORKLOADS:
        raise click.BadParameter(
            f"there is no workload {workload!r}{_near(workload, WORKLOADS)}", param_hint="--workload"
        )
    context = context_from(pairs, document)
    kept = screen.keep_stdout_for_result() if options["as_json"] else None
    settings = Settings(
        options["rounds"],
        options["calls"],
        options["seconds"],
        options["lanes"] or LANES,
        compare=not options["any_output"],
    )
    name = (workload or _DEFAULT_WORKLOAD) if target is None else None
    found = Measured(name or str(target))
    asyncio.run(_stoppable(found, target, name, context, only, settings, options))
    if kept is not None:
        data = as_data(
            found.label, found.tasks, found.missing, settings, saved=[str(one) for one in found.kept]
        )
        screen.print_json({**data, "stopped": found.was_stopped}, to=kept)
    else:
        show_result(found.tasks, found.missing, was_saved=bool(found.kept))
    if found.was_stopped:
        done = screen.counted(len(found.tasks), "task")
        screen.errors().print(f"stopped after {done}; {len(found.kept) or 'nothing'} kept")
        ctx.exit(CANCELLED)
    is_failure = not found.tasks or any(one.is_failure for one in found.tasks)
    ctx.exit(FAILED if is_failure else SUCCEEDED)


async def _stoppable(
    found: Measured,
    target: str | None,
    workload: str | None,
    context: dict[str, Any],
    only: Collection[str],
    settings: Settings,
    options: dict[str, Any],
) -> None:
    """All of it, or as far as the user lets it come."""
    with Interrupts() as interrupts:
        progress = BenchProgress()
        with progress, _quiet():
            await interrupts.unless_asked(
                _measured(found, target, workload, context, only, settings, options, progress)
            )
        found.was_stopped = interrupts.asked.is_set()


async def _measured(
    found: Measured,
    target: str | None,
    workload: str | None,
    context: dict[str, Any],
    only: Collection[str],
    settings: Settings,
    options: dict[str, Any],
    progress: BenchProgress,
) -> None:
    if workload is not None:
        built_in = WORKLOADS[workload]
        place = Target(built_in.workflow.spec, None, f"laneway.bench.workloads:{built_in.attribute}")
        context = {**built_in.context(), **context}
    else:
        async with Engine("memory://", grace=0) as engine:
            place = await find_target(str(target), engine.fleet)
    _check_names(only, place)
    inputs = await collect(place, context, only=only, say=progress.note)
    found.missing += inputs.missing
    for number, (name, orders) in enumerate(inputs.orders.items()):
        progress.begin(name, number, len(inputs.orders))
        one = await _one(orders, settings, options["workers"], progress)
        if isinstance(one, NotMeasured):
            found.missing.append(one)
            continue
        progress.end(one)
        if options["save"]:
            found.kept.append(MeasuredTimes().keep(orders[0].task, orders[0].unit, one))
        found.tasks.append(one)


async def _one(
    orders: list[StepOrder], settings: Settings, workers: int | None, progress: BenchProgress
) -> TaskTimes | NotMeasured:
    """One task, on an engine of its own: so the first call on each lane shows what starting costs."""
    async with Engine("memory://", grace=0, workers=workers) as engine:
        return await measure(
            orders,
            engine.lanes,
            Assembly(engine.lanes),
            workers=engine.fleet.size,
            settings=settings,
            say=progress.say,
        )


def _check_names(only: Collection[str], found: Target) -> None:
    known = [one.id for one in found.workflow.tasks]
    for name in only:
        if name not in known:
            raise click.BadParameter(
                f"workflow {found.workflow.name!r} has no task {name!r}{_near(name, known)}",
                param_hint="--task",
            )


def _near(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there is: {', '.join(known)}"


@contextmanager
def _quiet() -> Iterator[None]:
    """What tasks print in this process goes nowhere: they are called many times, and terminals are slow."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nothing,
        redirect_stdout(nothing),
        redirect_stderr(nothing),
    ):
        yield


@bench.command("saved")
@click.option("--clear", is_flag=True, help="Forget all results.")
@json_option
@debug_option
def saved(*, clear: bool, as_json: bool) -> None:
    """List the results that are kept for this Python, newest first."""
    store = MeasuredTimes()
    if clear:
        count = store.clear()
        screen.output().print(f"forgot {screen.counted(count, 'result')}")
        return
    found = store.all()
    if as_json:
        screen.print_json(found)
        return
    show_kept(found)
