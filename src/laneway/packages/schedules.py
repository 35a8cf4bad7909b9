"""The schedules and triggers that a package declares, as what a scheduler is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from laneway.packages._tables import moment_of
from laneway.packages.manifest import ScheduleTable
from laneway.packages.opening import open_package

__all__ = ["schedules_in", "triggers_in"]


def schedules_in(path: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Of each `[schedule.NAME]`: the job's name, its target, and the options of `Scheduler.add`."""
    package = open_package(path)
    for table in package.manifest.schedules:
        target = f"{Path(path).absolute()}#{table.workflow}"
        yield f"{package.name}/{table.name}", target, _options(table, package.name)


def triggers_in(path: str) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Of each `[trigger.NAME]`: its name, its target, which method of `Triggers` makes it, and with which options."""
    package = open_package(path)
    for table in package.manifest.triggers:
        target = f"{Path(path).absolute()}#{table.workflow}"
        options: dict[str, Any] = {"parameters": table.parameters}
        how = "on_http"
        if table.follows:
            how = "after"
            options |= {"follows": table.follows, "on": table.on}
        elif table.files:
            how = "on_files"
            options |= {"folder": table.files, "pattern": table.pattern}
        else:
            options |= {
                "fields": table.fields,
                "key": table.key,
                "secret": table.secret,
                "signature": table.signature,
            }
        yield f"{package.name}/{table.name}", target, how, options


def _options(table: ScheduleTable, package: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "parameters": table.parameters,
        "cron": table.cron,
        "every": table.every_seconds,
        "at": None if table.at is None else moment_of(table.at),
        "timezone": table.timezone,
        "misfire": table.misfire,
        "jitter": table.jitter_seconds,
        "overlap": table.overlap,
        "parallel_safe": table.parallel_safe,
        "paused": table.paused,
        "origin": package,
    }
    if table.misfire_limit is not None:
        options["misfire_limit"] = table.misfire_limit
    return options
