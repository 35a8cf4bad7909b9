"""How jobs and their due moments are shown."""

from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from rich.text import Text

from laneway._core.jobs import Firing, Job, JobState
from laneway.cli import _screen as screen

__all__ = ["next_text", "plain", "show", "tell", "times_text", "zone_of"]


def zone_of(timezone: str) -> tzinfo:
    """The time zone of that name; UTC for one that this machine does not know, as another one may."""
    try:
        return ZoneInfo(timezone)
    except KeyError, ValueError, OSError:
        return UTC


def plain(state: JobState) -> dict[str, Any]:
    """A job as plain data."""
    job = state.job
    return {
        "name": job.name,
        "target": job.target,
        "parameters": job.parameters,
        "cron": job.cron,
        "every_seconds": job.every_seconds,
        "at": job.at,
        "timezone": job.timezone,
        "misfire": job.misfire,
        "misfire_limit": job.misfire_limit,
        "jitter_seconds": job.jitter_seconds,
        "overlap": job.overlap,
        "parallel_safe": job.parallel_safe,
        "timeout_seconds": job.timeout_seconds,
        "origin": job.origin,
        "paused": state.paused,
        "next": state.due,
        "missed": state.missed,
        "last": None
        if state.last_due is None
        else {"due": state.last_due, "status": state.last_status, "run": state.last_run},
    }


def times_text(job: Job) -> str:
    """When a job is due, in short."""
    if job.cron is not None:
        return f"{job.cron} {job.timezone}" if job.timezone != "UTC" else job.cron
    if job.every_seconds is not None:
        return f"every {screen.seconds(job.every_seconds)}"
    return "once" if job.at is None else f"at {job.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def next_text(state: JobState) -> str:
    """When it is due next, in its time zone."""
    if state.paused:
        return "paused"
    if state.due is None:
        return "over"
    return state.due.astimezone(zone_of(state.job.timezone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def tell(state: JobState, *, as_json: bool) -> None:
    """Say where a job stands."""
    if as_json:
        screen.print_json(plain(state))
    else:
        screen.output().print(f"job {state.job.name}: {next_text(state)}", soft_wrap=True)


def show(firings: list[Firing], *, as_json: bool) -> None:
    """Show due moments and what became of them."""
    if as_json:
        screen.print_json([one._asdict() for one in firings])
        return
    if not firings:
        screen.errors().print("no due moments")
        return
    rows: list[list[str | Text]] = [
        [
            one.name,
            one.due.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            one.why,
            screen.status_text(one.status),
            one.run or "",
            screen.without_controls(one.reason.replace("\n", " ")[:80]),
        ]
        for one in firings
    ]
    screen.print_table(["job", "due", "why", "status", "run", "reason"], rows)
