"""The demo's results for people and for programs."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from laneway.cli import _screen as screen
from laneway.cli._demo_parts import Comparison
from laneway.cli._isolation import Isolation, NotVendored
from laneway.engine.results import RunResult

__all__ = ["as_shown", "show_audit", "show_isolation", "show_unvendored"]

_STYLES = {"error": "bold red", "warning": "yellow", "note": "bright_black"}


def as_shown(
    result: RunResult,
    comparison: Comparison | None,
    lanes: Mapping[str, tuple[int, float]],
    isolation: Isolation | NotVendored | None,
) -> dict[str, Any]:
    """Everything that the demo shows, as JSON data."""
    report: dict[str, Any] = result.context.get("write_report") or {}
    unvendored = isolation if isinstance(isolation, NotVendored) else None
    shown = isolation if isinstance(isolation, Isolation) else None
    return {
        "id": result.id,
        "status": result.status,
        "error": result.error,
        "totals": report.get("totals"),
        "findings": report.get("top", []),
        "report": {key: report[key] for key in ("html", "markdown") if key in report},
        "lanes": {lane: {"steps": count, "seconds": spent} for lane, (count, spent) in lanes.items()},
        "speedup": None if comparison is None else {**comparison._asdict(), "speedup": comparison.speedup},
        "isolation": None
        if isolation is None
        else {
            "sides": [] if shown is None else [side._asdict() for side in shown.sides],
            "at_once": shown is not None and shown.at_once,
            "in_host": shown is not None and shown.is_in_host,
            "unavailable": None if unvendored is None else unvendored._asdict(),
        },
    }


def show_audit(
    result: RunResult, comparison: Comparison | None, lanes: Mapping[str, tuple[int, float]], *, store: str
) -> None:
    """What act one found, and what it took."""
    console = screen.output()
    report = result.context["write_report"]
    totals = report["totals"]
    console.print()
    size = ", ".join(screen.counted(totals[f"{one}s"], one) for one in ("file", "line", "function"))
    found = ", ".join(screen.counted(totals[one], one) for one in ("error", "warning", "note"))
    missing = f"{totals['undocumented']:,} of {totals['public']:,} public names undocumented"
    screen.say(console, Text.assemble((size, "bold"), f": {found} in the source review; {missing}"))
    console.print()
    _show_findings(report["top"])
    console.print()
    for lane, (count, spent) in lanes.items():
        console.print(
            Text.assemble(
                (f"  {lane:12}", "cyan"), f"{screen.seconds(spent)} in {screen.counted(count, 'step')}"
            )
        )
    for line in _speedup(comparison):
        screen.say(console, line)
    console.print()
    store_part = f" --store {shlex.quote(store)}"
    for label, text in (
        ("report", _near(report["html"])),
        ("", _near(report["markdown"])),
        ("again", f"laneway runs show {result.id}{store_part}"),
    ):
        console.print(Text.assemble((f"  {label:8}", "bright_black"), text), soft_wrap=True)


def _show_findings(top: list[dict[str, Any]]) -> None:
    """The most interesting findings, one after another."""
    console = screen.output()
    if not top:
        console.print("nothing to report: no findings")
        return
    console.print(
        Text(f"The {len(top)} most interesting findings" if len(top) > 1 else "One finding", style="bold")
    )
    for one in top:
        place = f"{one['path']}:{one['line']}" if one.get("line") else one["path"]
        sign = Text(f"  {one['severity']:8}", style=_STYLES.get(one["severity"], ""))
        text = screen.without_controls(one["message"])
        if not console.is_terminal:
            print(f"  {one['severity']:8} {place}  {text}")
            continue
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=10)
        grid.add_column(overflow="fold")
        grid.add_row(sign, Text.assemble((screen.without_controls(place), "cyan"), "  ", text))
        console.print(grid)


def _speedup(comparison: Comparison | None) -> list[Text]:
    if comparison is None:
        return [
            Text("  too few files were analysed in this session for a fair comparison with one interpreter")
        ]
    one = comparison
    cores = os.process_cpu_count() or 1
    lines = [
        Text.assemble(
            f"  interpreter lane: {screen.counted(one.files, 'file')} in {screen.seconds(one.lane_seconds)}, ",
            "starting its workers included",
        ),
        Text.assemble(
            f"  one interpreter:  {screen.seconds(one.inline_seconds)} for the same files, by proportion from ",
            f"{one.sample_files:,} of them measured in {screen.seconds(one.sample_seconds)}",
        ),
        Text.assemble("  speed-up: ", (f"{one.speedup:.2f} times", "bold green"), f" on {cores} cores"),
    ]
    doubt = ""
    if one.load > cores + 1:
        doubt = f"other programs were using these cores (load {one.load:.1f})"
    elif one.speedup > cores:
        doubt = "more than these cores can give: the machine was slower while one interpreter was measured"
    if doubt:
        lines.append(Text(f"  {doubt}, so take that with care", style="yellow"))
    return lines


def show_isolation(found: Isolation) -> None:
    """What the two packages saw."""
    console = screen.output()
    pids = {side.pid for side in found.sides}
    library = found.sides[0].library
    where = f"in one process (pid {pids.pop()})" if len(pids) == 1 else "each in a process of its own"
    console.print()
    together = "at the same time" if found.at_once else "side by side"
    console.print(
        Text(
            f"Two packages, two versions of {library}, {together} {where}, {found.times} runs each",
            style="bold",
        ),
        soft_wrap=True,
    )
    for side in found.sides:
        console.print(
            Text.assemble((f"  {side.package}", "cyan"), f"  {library} {side.version}"), soft_wrap=True
        )
        console.print(Text.assemble(("    from   ", "bright_black"), _near(side.file)), soft_wrap=True)
        for question, answer in side.said.items():
            text = answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
            console.print(Text.assemble((f"    {question}", "bright_black"), f" = {text}"), soft_wrap=True)
    in_host = "is loaded too, which must not be" if found.is_in_host else "is not loaded"
    console.print(f"  in the program itself {library} {in_host}", soft_wrap=True)


def show_unvendored(missing: NotVendored) -> None:
    """Act two could not be shown; act one counts."""
    console = screen.errors()
    console.print()
    console.print(
        "Isolation is not shown: the two versions of the library could not be fetched.", soft_wrap=True
    )
    console.print(Text(screen.without_controls(missing.reason)), soft_wrap=True)
    console.print(f"When there is a network: {missing.command}", soft_wrap=True)
    screen.say(console, "and then the demo again. The audit above is complete.")


def _near(path: str) -> str:
    found = Path(path)
    return str(found.relative_to(Path.cwd())) if found.is_relative_to(Path.cwd()) else path
