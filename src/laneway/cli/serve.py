"""`laneway serve`: an engine with its scheduler, its triggers and a web face, until Ctrl-C."""

import asyncio
import logging
import os
import socket
from contextlib import closing
from pathlib import Path

import rich_click as click

from laneway._core.errors import LanewayError, SettingInvalid
from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._errors import SUCCEEDED
from laneway.cli._interrupts import Interrupts
from laneway.cli._options import debug_option, store_option, store_url
from laneway.engine.target import Target
from laneway.settings import settings_from
from laneway.web import application
from laneway.web.server import is_loopback, listening, serve

__all__ = ["serve_command"]

log = logging.getLogger("laneway.web")

_PORT = 8466
_MOST_TAKEN_UP = 1000
"""Of each workflow and status."""


class AddressTaken(LanewayError):
    """The server cannot listen where it should."""

    code = "LW-WEB-004"
    template = (
        "cannot listen at {host}:{port}: {reason}. Another --port may be free; --port 0 takes one that is."
    )


@click.command("serve")
@click.argument("target", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=_PORT, show_default=True, help="0 takes a free one."
)
@click.option("--token", help="What callers must send as a bearer token. Default: LANEWAY_TOKEN.")
@click.option(
    "--secret",
    "pairs",
    metavar="NAME=FILE",
    multiple=True,
    help="A trigger's secret; LANEWAY_SECRETS names a folder.",
)
@store_option
@debug_option
@click.pass_context
def serve_command(
    ctx: click.Context,
    /,
    target: str | None,
    host: str,
    port: int,
    token: str | None,
    pairs: tuple[str, ...],
    store: str | None,
) -> None:
    """Run jobs and triggers of a store, and answer HTTP calls.

    TARGET is what `laneway run` takes: its workflow is started by POST /triggers/WORKFLOW as long as this runs. Of a
    package also the schedules and triggers of its laneway.toml are added to the store. Without TARGET it serves what is
    in the store already.

    Only this machine can call unless --host says otherwise, which needs a token. The first Ctrl-C or SIGTERM lets calls
    and running steps finish within LANEWAY_GRACE seconds; a second one ends at once.
    """
    settings = settings_from()
    chosen = _checked_token(settings.token if token is None else token)
    if chosen is None and not is_loopback(host):
        raise SettingInvalid(
            setting="--host",
            value=host,
            reason="others than this machine could start workflows there",
            advice="Give a token: LANEWAY_TOKEN=..., or --token.",
        )
    secrets = _Secrets(pairs, settings.secrets)
    asyncio.run(_serve(target, host, port, chosen, secrets, store_url(store)))
    ctx.exit(SUCCEEDED)


async def _serve(
    target: str | None, host: str, port: int, token: str | None, secrets: _Secrets, store: str
) -> None:
    with Interrupts() as interrupts, closing(_listening(host, port)) as listens:
        async with Engine(store) as engine:
            app = application(engine, token=token, secrets=secrets.get)
            if target is not None and await interrupts.unless_asked(_declare(engine, target)) is None:
                return
            interrupts.handled = True
            await engine.scheduler.start()
            await _go_on(engine)
            address = _address(host, listens)
            screen.errors().print(
                f"serving {screen.without_controls(store)} at {address}; Ctrl-C ends it", soft_wrap=True
            )
            await serve(app, listens, stop=interrupts.asked, grace=engine.grace)


async def _declare(engine: Engine, target: str) -> bool:
    """Have a target's workflow answer calls; of a package also what its manifest declares."""
    found = await engine.load(target)
    if found.unit is not None and found.unit.kind == "package":
        await engine.schedule_package(found.reference.rpartition("#")[0])
    await engine.scheduler.triggers.on_http(found.workflow.name, found, keep=False)
    return True


async def _go_on(engine: Engine) -> None:
    """Take up what runs of triggers were under way when the last program ended. What cannot be is left, with why."""
    found: dict[str, Target] = {}
    for trigger in await engine.scheduler.triggers.all():
        try:
            target = await engine.load(trigger.target)
        except LanewayError as error:
            log.warning("trigger %s cannot start its workflow: %s", trigger.name, error)
        else:
            found[target.reference] = target
    for target in found.values():
        for status in ("running", "suspended"):
            for row in await engine.find(workflow=target.workflow.name, status=status, limit=_MOST_TAKEN_UP):
                try:
                    await engine.resume(row["id"], target)
                except LanewayError as error:
                    log.warning("run %s is left as it is: %s", row["id"], error)


def _listening(host: str, port: int) -> socket.socket:
    try:
        return listening(host, port)
    except OSError as error:
        raise AddressTaken(host=host, port=port, reason=error.strerror or str(error)) from error


def _address(host: str, listens: socket.socket) -> str:
    port = listens.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _checked_token(token: str | None) -> str | None:
    if not token:
        return None
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingInvalid(
            setting="the token",
            value="...",
            reason="it is too easy to guess, or cannot be sent in a header",
            advice="Use 16 printable ASCII characters or more: python -c 'import secrets; print(secrets.token_hex())'.",
        )
    return token


class _Secrets:
    """The secrets of triggers, by name: files, read anew for each call so that they can be changed."""

    def __init__(self, pairs: tuple[str, ...], folder: str) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}
        for pair in pairs:
            name, separator, file = pair.partition("=")
            if not separator or not name or not file:
                raise SettingInvalid(
                    setting="--secret",
                    value=pair,
                    reason="it is not NAME=FILE",
                    advice="Write --secret github=FILE.",
                )
            self._files[name] = Path(file).expanduser()
            if not os.access(self._files[name], os.R_OK):
                raise SettingInvalid(
                    setting="--secret", value=pair, reason="the file cannot be read", advice="Check its path."
                )

    def get(self, name: str) -> str | None:
        """The secret of that name, if there is one."""
        file = self._files.get(name)
        if file is None and self._folder and name == Path(name).name and not name.startswith("."):
            file = Path(self._folder) / name
        try:
            return None if file is None else file.read_text("utf-8").strip() or None
        except OSError, UnicodeDecodeError:
            return None
