"""`laneway worker`: runs steps that engines on other machines send through a Celery broker."""

import logging
import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import rich_click as click

from laneway._core.errors import LanewayError, SettingInvalid
from laneway.assembly import Assembly
from laneway.cli._errors import SUCCEEDED
from laneway.cli._options import debug_option
from laneway.cli._worker_artifacts import FarArtifacts
from laneway.cli._worker_lines import AsCelery
from laneway.cli._worker_packages import Packages
from laneway.lanes import Fleet
from laneway.lanes._celery_wire import QUEUES, broker_problem, shown
from laneway.lanes._celery_worker import CeleryWorker
from laneway.observe.logs import configure
from laneway.registry import lane_factories
from laneway.settings import Settings, settings_from

__all__ = ["worker"]

_WAITING_AT_ONCE = 32


class CeleryMissing(LanewayError):
    """The part that brings steps to other machines is not installed."""

    code = "LW-CLI-008"
    template = "workers need Celery, which is not installed: pip install 'laneway[celery]'"


class BrokerUnreachable(LanewayError):
    """The broker does not answer."""

    code = "LW-CLI-009"
    template = (
        "the broker {broker} cannot be reached ({reason}). Start it, or name another with --broker or "
        "LANEWAY_CELERY_BROKER."
    )


@click.command()
@click.option(
    "--queue",
    "queues",
    type=click.Choice(QUEUES),
    multiple=True,
    help="Which steps to take: io (what waits), cpu (tasks marked cpu); may be given twice. Default: both.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Steps at once. Default: one per core, or {_WAITING_AT_ONCE} with --queue io alone.",
)
@click.option("--broker", metavar="URL", help="Where steps come from. Default: LANEWAY_CELERY_BROKER.")
@click.option("--store", metavar="URL", help="Where packages and artifacts are shared with engines.")
@debug_option
@click.pass_context
def worker(
    ctx: click.Context,
    /,
    queues: tuple[str, ...],
    concurrency: int | None,
    broker: str | None,
    store: str | None,
) -> None:
    """Run steps of the celery lane that engines elsewhere send.

    Modules are imported from the current folder and from where this Python looks; packages are found by their
    content. The first Ctrl-C or SIGTERM lets running steps finish within LANEWAY_GRACE seconds and gives the others
    back; a second one ends at once.
    """
    settings = settings_from()
    broker = _broker(broker, settings)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    _log(settings)
    chosen = tuple(dict.fromkeys(queues)) or QUEUES
    at_once = concurrency or (_WAITING_AT_ONCE if chosen == ("io",) else os.process_cpu_count() or 1)
    ctx.exit(_serve(broker, chosen, at_once, settings, store))


def _log(settings: Settings) -> None:
    """Write log lines of attempts with what their engine knows; of Celery's own only what is amiss."""
    logging.getLogger().handlers.clear()
    configure(settings.log, lines=settings.log_lines, redact=settings.redact).handler.addFilter(AsCelery())
    for name in ("celery", "kombu", "amqp"):  # below that they write down what tasks are given
        logging.getLogger(name).setLevel(logging.WARNING)
    # The first is about pickled messages, which are not accepted; the second about a setting that is chosen.
    warnings.filterwarnings("ignore", message="(?s).*superuser privileges")
    warnings.filterwarnings("ignore", message="(?s).*worker_cancel_long_running_tasks_on_connection_loss")


def _broker(given: str | None, settings: Settings) -> str:
    broker = settings.celery_broker if given is None else given.strip()
    if not broker:
        raise SettingInvalid(
            setting="LANEWAY_CELERY_BROKER",
            value=broker,
            reason="a worker needs a broker to take steps from",
            advice="Set it, or give --broker redis://HOST/0.",
        )
    if find_spec("celery") is None:
        raise CeleryMissing()
    reason = broker_problem(broker)
    if reason:
        raise BrokerUnreachable(broker=shown(broker), reason=reason)
    return broker


def _serve(broker: str, queues: tuple[str, ...], at_once: int, settings: Settings, store: str | None) -> int:
    fleet = Fleet(workers=settings.workers or at_once, interpreters=settings.interpreters)
    made = {name: make(fleet) for name, make in lane_factories().items()}
    lanes = {name: lane for name, lane in made.items() if not lane.capabilities.remote}
    assembly = Assembly(lanes)
    with Packages(store, settings) as packages:
        celery = CeleryWorker(
            broker,
            queues=queues,
            concurrency=at_once,
            fleet=fleet,
            lanes=lanes,
            locate=packages.located,
            choose=lambda task, unit: assembly.choice(task._replace(lane="auto"), unit).lane,
            keeper=None if store is None else FarArtifacts(store, fleet, settings),
            grace=settings.grace,
            ready=lambda: _say(celery.name, broker, queues, at_once),
        )
        celery.serve()
    return SUCCEEDED


def _say(name: str, broker: str, queues: tuple[str, ...], at_once: int) -> None:
    steps = "step" if at_once == 1 else "steps"
    click.echo(f"{name} takes {' and '.join(queues)} from {shown(broker)}, {at_once} {steps} at once")
    sys.stdout.flush()
