"""How errors reach the user: one message on standard error, and the exit status that scripts can rely on."""

import traceback

import click

from laneway._core.errors import (
    ContextError,
    LanewayError,
    PackageError,
    PlanError,
    SettingInvalid,
    WorkflowInvalid,
)

__all__ = ["CANCELLED", "FAILED", "SUCCEEDED", "SUSPENDED", "USAGE", "report", "status_for", "status_of"]

SUCCEEDED, FAILED, USAGE, CANCELLED, SUSPENDED = range(5)

_BY_RUN = {"succeeded": SUCCEEDED, "failed": FAILED, "cancelled": CANCELLED, "suspended": SUSPENDED}
_USAGE = (PlanError, ContextError, SettingInvalid, PackageError)


def status_for(error: LanewayError) -> int:
    """2 for what the user can put right in the command, the workflow or the package; 1 for everything else."""
    return USAGE if isinstance(error, _USAGE) else FAILED


def status_of(run_status: str) -> int:
    """The exit status for a run; one that did not end was interrupted."""
    return _BY_RUN.get(run_status, CANCELLED)


def report(error: BaseException, *, debug: bool) -> None:
    """Tell the user what went wrong; with `debug` also where."""
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True)
        return
    if isinstance(error, WorkflowInvalid) and any("no context key provides" in one for one in error.problems):
        click.echo(f"laneway: {error}\nThe context is given with -c KEY=VALUE or --context JSON.", err=True)
        return
    if isinstance(error, LanewayError):
        click.echo(
            f"laneway: {error}  [{error.code}]" if "\n" not in str(error) else f"laneway: {error}", err=True
        )
        return
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"laneway: {place}{error.strerror}", err=True)
        return
    click.echo(
        f"laneway: unexpected {type(error).__name__}: {error}. This is a bug in Laneway or in a plug-in; "
        "`laneway --debug ...` shows where.",
        err=True,
    )
