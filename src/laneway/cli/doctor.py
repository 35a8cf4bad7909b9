"""`laneway doctor`: what this Python, this machine and this installation can do, and how to get what is missing."""

import asyncio
import importlib
import os
import platform
import sqlite3
import sys
import sysconfig
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import rich_click as click
from rich.text import Text

from laneway import __version__
from laneway._core.errors import LanewayError
from laneway.cli import _screen as screen
from laneway.cli._errors import FAILED, SUCCEEDED
from laneway.cli._options import debug_option, json_option, store_option
from laneway.cli._store_report import report_on, report_rows, without_password
from laneway.registry import lane_factories
from laneway.settings import SETTINGS, Setting, settings_from

__all__ = ["doctor"]

_PARTS = {
    "postgres": ("psycopg", "the store on a PostgreSQL server", "pip install 'laneway[postgres]'"),
    "celery": ("celery", "lanes on other machines", "pip install 'laneway[celery]'"),
    "web": ("starlette", "the web page", "pip install 'laneway[web]'"),
    "otel": ("opentelemetry", "traces", "pip install 'laneway[otel]'"),
    "langgraph": ("langgraph", "running LangGraph graphs", "pip install 'laneway[langgraph]'"),
    "sign": ("cryptography", "signed packages", "pip install 'laneway[sign]'"),
    "uvloop": ("uvloop", "a faster event loop", "pip install uvloop"),
}
_DISTRIBUTIONS = {"opentelemetry": "opentelemetry-api"}


@click.command()
@store_option
@json_option
@debug_option
@click.pass_context
def doctor(ctx: click.Context, store: str | None, as_json: bool) -> None:
    """Show what this Python and this machine can do: build, interpreters, store, settings, optional parts.

    Exit status 1 if something that Laneway needs does not work.
    """
    found: dict[str, Any] = {
        "laneway": __version__,
        "python": _python(),
        "machine": _machine(),
        "store": asyncio.run(report_on(store)),
        "lanes": _lanes(),
        "settings": _settings(os.environ),
        "parts": _parts(),
    }
    if as_json:
        screen.print_json(found)
    else:
        _show(found)
    ctx.exit(FAILED if found["store"]["error"] or found["lanes"]["error"] else SUCCEEDED)


def _python() -> dict[str, Any]:
    jit = getattr(sys, "_jit", None)
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "free_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "interpreters": _interpreters(),
        "jit": "not in this build"
        if jit is None or not jit.is_available()
        else "on"
        if jit.is_enabled()
        else "off (PYTHON_JIT=1 turns it on)",
        "sqlite": sqlite3.sqlite_version,
        "zstd": find_spec("compression.zstd") is not None and find_spec("_zstd") is not None,
    }


def _interpreters() -> str:
    """Empty if an isolated interpreter can be made and used here, else why not."""
    try:
        interpreters = importlib.import_module("concurrent.interpreters")
    except ImportError as error:
        return f"this Python has none ({error})"
    try:
        one = interpreters.create()
        try:
            one.exec("import json")
        finally:
            one.close()
    except (interpreters.InterpreterError, RuntimeError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _machine() -> dict[str, Any]:
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    size = os.sysconf("SC_PAGE_SIZE") if pages else 0
    return {
        "system": platform.platform(),
        "cores": os.process_cpu_count() or 1,
        "memory_bytes": _limited(pages * size),
    }


def _limited(memory_bytes: int) -> int:
    """The machine's memory, or the container's limit where that is lower."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = int(Path(name).read_text("ascii"))
        except OSError, ValueError:
            continue
        return min(memory_bytes, limit) if memory_bytes else limit
    return memory_bytes


def _lanes() -> dict[str, Any]:
    try:
        return {"names": sorted(lane_factories()), "error": ""}
    except LanewayError as error:
        return {"names": [], "error": str(error)}


def _shown(one: Setting, environment: Mapping[str, str]) -> str:
    value = environment.get(one.variable, one.default)
    return "set, not shown" if one.is_secret and value else without_password(value)


def _settings(environment: Mapping[str, str]) -> list[dict[str, str]]:
    problem = ""
    try:
        settings_from(environment)
    except LanewayError as error:
        problem = str(error)
    return [
        {
            "variable": one.variable,
            "value": _shown(one, environment),
            "from": "environment" if one.variable in environment else "default",
            "help": one.help,
            "error": problem if problem.startswith(one.variable) else "",
        }
        for one in SETTINGS
    ]


def _parts() -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for name, (module, purpose, how) in _PARTS.items():
        is_there = find_spec(module) is not None
        found.append(
            {
                "part": name,
                "for": purpose,
                "version": _version(_DISTRIBUTIONS.get(module, module)) if is_there else "",
                "get": "" if is_there else how,
            }
        )
    return found


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _show(found: Mapping[str, Any]) -> None:
    python, machine, store = found["python"], found["machine"], found["store"]
    build = "free-threaded build" if python["free_threaded_build"] else "build with a GIL"
    _section("laneway", [("version", found["laneway"])])
    _section(
        "python",
        [
            ("version", f"{python['implementation']} {python['version']}, {build}"),
            ("path", python["executable"]),
            ("GIL", "on" if python["gil"] else "off"),
            ("interpreters", python["interpreters"] or "work"),
            ("JIT", python["jit"]),
            ("SQLite", python["sqlite"]),
            ("zstd", "there" if python["zstd"] else "missing: .lane files cannot be read"),
        ],
    )
    memory = f"{machine['memory_bytes'] / 2**30:.1f} GiB" if machine["memory_bytes"] else "unknown"
    _section("machine", [("system", machine["system"]), ("cores", str(machine["cores"])), ("memory", memory)])
    _section("store", report_rows(store))
    _section("lanes", [("there", found["lanes"]["error"] or ", ".join(found["lanes"]["names"]))])
    _section(
        "settings",
        [
            (one["variable"], Text(one["error"], style="red") if one["error"] else _setting(one))
            for one in found["settings"]
        ],
    )
    _section("optional parts", [(one["part"], _part(one)) for one in found["parts"]])


def _setting(one: Mapping[str, str]) -> Text:
    unset = "automatic" if one["variable"].endswith("_WORKERS") else "not set"
    return Text.assemble(one["value"] or unset, (f"  ({one['from']})", "bright_black"))


def _part(one: Mapping[str, str]) -> Text:
    if one["version"]:
        return Text.assemble((one["version"], "green"), (f"  {one['for']}", "bright_black"))
    return Text.assemble(("missing", "yellow"), (f"  {one['for']}: ", "bright_black"), one["get"])


def _section(title: str, rows: list[tuple[str, Any]]) -> None:
    console = screen.output()
    console.print(Text(title, style="bold"))
    width = max(len(label) for label, _ in rows) + 2
    for label, value in rows:
        if str(value):
            console.print(Text.assemble((f"  {label:{width}}", "bright_black"), value), soft_wrap=True)
