"""`laneway ps`: what running engines do now, as a tree."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from laneway.cli import _screen as screen
from laneway.cli._errors import FAILED, SUCCEEDED
from laneway.cli._options import debug_option, json_option
from laneway.observation import store_name
from laneway.observe.ps import ask, sockets, state_of_all
from laneway.registry import store_from
from laneway.settings import runtime_folder

__all__ = ["ps"]

_MOST_STEPS = 20
"""Of one run; a fan-out of thousands is counted, not listed."""


@click.command()
@click.option("--store", metavar="URL", help="Only engines on this store. Default: all engines of this user.")
@click.option("--watch", is_flag=True, help="Keep showing it until Ctrl-C.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option(
    "--steps",
    "most",
    type=click.IntRange(min=0),
    default=_MOST_STEPS,
    show_default=True,
    help="Most steps of a run.",
)
@click.option("--cancel", metavar="RUN", help="Cancel a run that is running now, and wait for its end.")
@json_option
@debug_option
@click.pass_context
def ps(
    ctx: click.Context,
    store: str | None,
    watch: bool,
    every: float,
    most: int,
    cancel: str | None,
    as_json: bool,
) -> None:
    """Show what running engines do: runs, their steps, on which lane and worker, for how long.

    Sees the engines of this user on this machine. Engines pay nothing for it until somebody looks.
    """
    folder = Path(runtime_folder())
    wanted = None if store is None else store_name(store_from(store, durability="commit"))
    if cancel is not None:
        ctx.exit(_cancel(folder, cancel))
    if not watch:
        found = state_of_all(folder, store=wanted)
        if as_json:
            screen.print_json(found)
        else:
            screen.output().print(_rendered(found, most))
        return
    try:
        _watch(folder, wanted, every=every, most=most, as_json=as_json)
    except KeyboardInterrupt:
        ctx.exit(SUCCEEDED)


def _watch(folder: Path, store: str | None, *, every: float, most: int, as_json: bool) -> None:
    if as_json or not screen.is_live():
        while True:
            found = state_of_all(folder, store=store)
            if as_json:
                screen.print_json(found)
            else:
                screen.output().print(_rendered(found, most))
            time.sleep(every)
    with Live(console=screen.output(), auto_refresh=False, screen=False, transient=True) as live:
        while True:
            live.update(_rendered(state_of_all(folder, store=store), most), refresh=True)
            time.sleep(every)


def _cancel(folder: Path, run: str) -> int:
    """Have the engine that drives the run cancel it; the exit status."""
    for path in sockets(folder):
        state = ask(path, {"ask": "state"})
        ids = [one["id"] for one in (state or {}).get("runs", ()) if one["id"].startswith(run)]
        if len(ids) == 1:
            answer = ask(path, {"ask": "cancel", "run": ids[0]}, seconds=60.0) or {}
            screen.output().print(
                f"run {ids[0]}: {answer.get('status', answer.get('error', 'its engine is gone'))}"
            )
            return SUCCEEDED if answer.get("status") == "cancelled" else FAILED
    screen.errors().print(f"no engine of this user drives one run that begins with {run}")
    return FAILED


# ---- drawing


def _rendered(states: list[dict[str, Any]], most: int) -> RenderableType:
    if not states:
        return Text("no engine of this user is running", style="bright_black")
    return Group(*(_engine(state, most) for state in states))


def _engine(state: dict[str, Any], most: int) -> Tree:
    title = Text.assemble(("engine ", "bold"), (f"pid {state['pid']}", "bold cyan"))
    if "error" in state:
        title.append(f"  {state['error']}", style="red")
        return Tree(title)
    title.append(f"  {screen.without_controls(state['store'])}")
    title.append(f"  up {screen.seconds(max(state['now'] - state['started'], 0))}", style="bright_black")
    tree = Tree(title)
    for run in state["runs"]:
        _run(tree, run, most)
    if not state["runs"]:
        tree.add(Text("no runs", style="bright_black"))
    _lanes(tree, state["lanes"])
    for name, pool in state.get("pools", {}).items():
        figures = f"{pool['used']:g} of {pool['capacity']:g} used, {pool['waiting']:g} waiting"
        if pool["waiting"]:
            figures += f", the first for {screen.seconds(pool['longest_wait_seconds'])}"
        tree.add(Text(f"pool {screen.without_controls(name)}: {figures}", style="bright_black"))
    return tree


def _run(tree: Tree, run: dict[str, Any], most: int) -> None:
    title = Text.assemble(
        ("run ", "bold"),
        f"{run['id']} ",
        (screen.without_controls(run["workflow"]), "bold"),
        f"  {run['tasks'] - run['left']}/{run['tasks']} tasks",
        (f"  {screen.seconds(run['age'])}", "cyan"),
    )
    if run["correlation_id"] != run["id"]:
        title.append(f"  [{screen.without_controls(run['correlation_id'])}]", style="magenta")
    if run["status"] != "running":
        title.append(f"  {run['status']}", style="yellow")
    branch = tree.add(title)
    steps = sorted(run["running"], key=lambda one: -one["age"])
    for step in steps[:most]:
        branch.add(_step(step))
    if len(steps) > most:
        branch.add(Text(f"and {len(steps) - most} more steps", style="bright_black"))


def _step(step: dict[str, Any]) -> Text:
    key = "" if step["key"] is None else f"[{step['key']}]"
    text = Text.assemble(
        (screen.without_controls(f"{step['task']}{key}"), "bold"),
        f"  {step['lane']}",
        f"  {step['worker'] or '-'}" + (f" (pid {step['pid']})" if step["pid"] else ""),
        (f"  {screen.seconds(step['age'])}", "cyan"),
    )
    if step["state"] != "running":
        text.append(f"  {step['state']}", style="yellow")
    if step["attempt"] > 1:
        text.append(f"  attempt {step['attempt']}", style="yellow")
    about = _metadata(step)
    if about:
        text.append(f"  {about}", style="magenta")
    return text


def _metadata(step: dict[str, Any]) -> str:
    """What the metadata adds to what is on the line already."""
    said = {"operation_name": step["task"], "priority_hint": 0}
    pairs: Iterable[tuple[str, Any]] = step["metadata"].items()
    return " ".join(
        f"{key}={screen.without_controls(str(value))}"
        for key, value in pairs
        if said.get(key) != value and key != "correlation_id"
    )


def _lanes(tree: Tree, lanes: list[dict[str, Any]]) -> None:
    for lane in lanes:
        workers = len(lane["workers"])
        if not workers and not lane["running"] and not lane["queued"] and not lane["restarts"]:
            continue
        text = Text(
            f"lane {lane['lane']}: {workers} workers, {lane['running']} running, {lane['queued']} queued",
            style="bright_black",
        )
        if lane["restarts"]:
            text.append(f", {lane['restarts']} restarts", style="yellow")
        if lane["quarantined"]:
            text.append(f", {lane['quarantined']} in quarantine", style="bold red")
        tree.add(text)
