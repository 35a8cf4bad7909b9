"""The command `laneway`: its list of commands, each imported only when it is used."""

import errno
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from platform import python_version
from typing import Any, NamedTuple

import click

from laneway import __version__
from laneway._core.errors import LanewayError
from laneway.cli._errors import CANCELLED, FAILED, report, status_for
from laneway.cli._logging import log_as_asked
from laneway.settings import settings_from

__all__ = ["COMMANDS", "laneway", "main"]


class _Entry(NamedTuple):
    home: str
    """`module:attribute` of the click command."""
    help: str
    section: str


COMMANDS = {
    "demo": _Entry(
        "laneway.cli.demo:demo", "Audit a Python source tree on all cores, then show isolation.", "Start"
    ),
    "run": _Entry("laneway.cli.run:run", "Run a workflow to its end.", "Start"),
    "tasks": _Entry(
        "laneway.cli.tasks:tasks", "Show a workflow's tasks, with the lane of each and why.", "Start"
    ),
    "runs": _Entry(
        "laneway.cli.runs:runs",
        "List, show and watch runs; cancel, pause, resume, retry, fork, signal.",
        "Look",
    ),
    "ps": _Entry("laneway.cli.ps:ps", "Show what running engines do now.", "Look"),
    "audit": _Entry("laneway.cli.audit:audit", "Verify and show the audit log.", "Look"),
    "artifacts": _Entry(
        "laneway.cli.artifacts:artifacts_group",
        "List, write out and put in the large values that runs keep.",
        "Look",
    ),
    "gc": _Entry("laneway.cli.gc:gc", "Delete old runs and give their room back.", "Look"),
    "doctor": _Entry("laneway.cli.doctor:doctor", "Show what this Python and this machine can do.", "Look"),
    "package": _Entry(
        "laneway.cli.package:package_group", "Make, build, verify and inspect packages.", "Packages"
    ),
    "watch": _Entry(
        "laneway.cli.watch:watch", "Load and run a package again whenever its files change.", "Packages"
    ),
    "compat": _Entry(
        "laneway.cli.compat:compat",
        "Probe what dependencies do in isolated interpreters and without the GIL.",
        "Look",
    ),
    "bench": _Entry("laneway.cli.bench:bench", "Measure tasks inline and on every lane.", "Look"),
    "schedule": _Entry(
        "laneway.cli.schedule:schedule_group",
        "Run workflows at set times: add, list, pause, backfill.",
        "Start",
    ),
    "trigger": _Entry(
        "laneway.cli.trigger:trigger_group",
        "Run workflows when a run ends, a file appears or somebody calls: add, list, pause.",
        "Start",
    ),
    "worker": _Entry(
        "laneway.cli.worker:worker", "Run steps of the celery lane that engines elsewhere send.", "Start"
    ),
    "serve": _Entry(
        "laneway.cli.serve:serve_command", "Run jobs and triggers of a store, and answer HTTP calls.", "Start"
    ),
    "completion": _Entry(
        "laneway.cli.completion:completion", "Print the completion script for a shell.", "Set up"
    ),
}
"""Every command; the help texts are repeated here so that `laneway --help` imports none of them."""


class LazyGroup(click.Group):
    """Imports a command when it is run, and knows enough about the others to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands whose module is there."""
        return [
            name for name, entry in COMMANDS.items() if find_spec(entry.home.partition(":")[0]) is not None
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A stand-in with name and help; the command itself is imported by `resolve_command`."""
        entry = COMMANDS.get(cmd_name)
        if entry is None or cmd_name not in self.list_commands(ctx):
            return None
        return click.Command(cmd_name, short_help=entry.help, help=entry.help)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name, imported."""
        near = get_close_matches(args[0], COMMANDS, 1) if args and args[0] not in COMMANDS else []
        if near and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        name, found, rest = super().resolve_command(ctx, args)
        if name is None or found is None:
            return name, found, rest
        module, _, attribute = COMMANDS[name].home.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in sections."""
        names = self.list_commands(ctx)
        width = max(len(name) for name in names)
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [
                (name.ljust(width), COMMANDS[name].help)
                for name in names
                if COMMANDS[name].section == section
            ]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors become one message and an exit status."""
        try:
            return super().invoke(ctx)
        except LanewayError as error:
            report(error, debug=_is_debug(ctx))
            ctx.exit(status_for(error))
        except KeyboardInterrupt:
            click.echo("laneway: stopped", err=True)
            ctx.exit(CANCELLED)
        except click.ClickException, click.exceptions.Exit, click.Abort:
            raise
        except OSError as error:
            if error.errno == errno.EPIPE or isinstance(error, BrokenPipeError):
                _leave_quietly()
            report(error, debug=_is_debug(ctx))
            ctx.exit(FAILED)
        except Exception as error:  # noqa: BLE001 - the outermost edge: people get a message, not a traceback
            report(error, debug=_is_debug(ctx))
            ctx.exit(FAILED)


def _is_debug(ctx: click.Context) -> bool:
    return bool(ctx.find_root().meta.get("laneway.debug"))


def _leave_quietly() -> None:
    """The reader of our output is gone: point it at nothing, so that the interpreter's last flush cannot fail."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    sys.exit(FAILED)


def _open_streams() -> None:
    """Put nothing where a standard stream was closed (`>&-`): else the next file to be opened would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().meta["laneway.debug"] = True


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`laneway COMMAND --help` tells more. "
    "Exit status: 0 succeeded, 1 failed, 2 usage, 3 cancelled, 4 suspended.",
)
@click.version_option(__version__, message=f"laneway {__version__} (Python {python_version()})")
@click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug, help="Show tracebacks of errors."
)
def laneway() -> None:
    """Laneway: an embedded, durable workflow engine for Python 3.14 and later."""
    log_as_asked(settings_from())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and leave with its exit status."""
    _open_streams()
    try:
        laneway.main(None if arguments is None else list(arguments), prog_name="laneway")
    except KeyboardInterrupt:
        return CANCELLED
    return FAILED  # not reached: click leaves through SystemExit
