"""`laneway tasks`: what a workflow consists of, the lane of each task and why."""

import asyncio
from pathlib import Path
from typing import Any

import rich_click as click
from rich.text import Text

from laneway._core.model import TaskSpec
from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._options import debug_option, json_option
from laneway.targets import find_target

__all__ = ["tasks"]

_OPTIONS = ("retries", "timeout", "each", "batch", "cpu", "fallback", "pool", "priority", "when")


@click.command()
@click.argument("target")
@json_option
@debug_option
def tasks(target: str, as_json: bool) -> None:
    """Show a workflow's tasks: their lanes and why, dependencies, parameters, options and source.

    TARGET is module:workflow, file.py:workflow, a package folder or a .lane file, with #workflow where it has several.
    The workflow is checked; mistakes are all named at once.
    """
    kept = screen.keep_stdout_for_result() if as_json else None
    name, described = asyncio.run(_described(target))
    if kept is not None:
        screen.print_json({"workflow": name, "tasks": described}, to=kept)
        return
    _show(name, described)


async def _described(text: str) -> tuple[str, list[dict[str, Any]]]:
    async with Engine("memory://", grace=0) as engine:
        target = await find_target(text, engine.fleet)
        runnable = engine.runnable(target)
        plan = runnable.plan
        described: list[dict[str, Any]] = []
        for index, (spec, unit) in enumerate(zip(plan.tasks, runnable.units, strict=True)):
            choice = engine.choice(spec, unit)
            described.append(
                {
                    "id": spec.id,
                    "style": spec.style,
                    "async": spec.is_async,
                    "dependencies": [plan.names[one] for one in plan.needs[index]],
                    "parameters": list(spec.parameters),
                    "optional": list(spec.optional),
                    "lane": choice.lane,
                    "reason": choice.reason,
                    "options": _options(spec),
                    "file": spec.file,
                    "line": spec.line,
                    "doc": next(iter(spec.doc.strip().splitlines()), ""),
                    "fingerprint": spec.fingerprint,
                }
            )
        return plan.workflow.name, described


def _options(spec: TaskSpec) -> dict[str, Any]:
    """What differs from the defaults."""
    found = {name: getattr(spec, name) for name in _OPTIONS}
    defaults = TaskSpec("", "")
    changed = {name: value for name, value in found.items() if value != getattr(defaults, name)}
    if spec.has_condition:
        changed["when"] = f"a predicate of {', '.join(spec.asks)}"
    return changed


def _show(name: str, described: list[dict[str, Any]]) -> None:
    console = screen.output()
    count = f"{len(described)} task{'s' if len(described) != 1 else ''}"
    console.print(Text.assemble((name, "bold"), f"  {count}"))
    for one in described:
        console.print()
        kind = f"{'async ' if one['async'] else ''}{one['style']} style"
        console.print(
            Text.assemble((one["id"], "bold cyan"), f"  {one['doc']}" if one["doc"] else ""), soft_wrap=True
        )
        lines = [
            ("lane", f"{one['lane']}: {one['reason']}" if one["reason"] else one["lane"]),
            ("after", ", ".join(one["dependencies"]) or "nothing"),
            ("takes", ", ".join(_parameter(one, parameter) for parameter in one["parameters"]) or "nothing"),
            ("options", ", ".join(f"{key}={value}" for key, value in one["options"].items())),
            ("source", f"{_shown(one['file'])}:{one['line']} ({kind})" if one["file"] else ""),
        ]
        for label, text in lines:
            if text:
                console.print(Text.assemble((f"  {label:8}", "bright_black"), text), soft_wrap=True)


def _parameter(one: dict[str, Any], name: str) -> str:
    return f"{name} (optional)" if name in one["optional"] else str(name)


def _shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
