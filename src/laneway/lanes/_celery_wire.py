"""What the Celery lane and its workers say to each other: orders and words as JSON, and the queues they go through."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from laneway._core.model import TaskSpec
from laneway.ports import Outcome, StepOrder, Unit

__all__ = [
    "ATTEMPT",
    "MAX_BYTES",
    "QUEUES",
    "Word",
    "broker_problem",
    "celery_app",
    "order_from",
    "order_text",
    "outcome_from",
    "outcome_text",
    "queue_named",
    "queue_of",
    "reply_queue",
    "shown",
    "shut",
    "word_from",
    "word_text",
    "words",
]

ATTEMPT = "laneway.attempt"
"""The Celery task that every order is a message for."""
QUEUES = ("io", "cpu")
"""What waits and what computes: apart, so that neither keeps the other from a worker."""
MAX_BYTES = 15 * 1024 * 1024
"""Of an order's input and of what comes back. RabbitMQ 4 refuses messages of more than 16 MiB."""
_REPLIES_EXPIRE_SECONDS = 3600
"""A queue of replies that nobody reads any more goes away by itself."""
_VISIBILITY_SECONDS = 12 * 3600
"""Redis and SQS hand a message out again when it is not acknowledged for so long, however well its worker does."""


class Word(msgspec.Struct, omit_defaults=True):
    """One message from a worker to an engine.

    `began`: an order was taken. `alive`: these orders are being worked on. `outcome`: what an attempt produced.
    `released`: the worker ends and gives the order back. `mark`: from the engine to itself, to know what it has heard.
    """

    kind: str
    delivery: str = ""
    worker: str = ""
    deliveries: list[str] = []
    outcome: str = ""


_encode = msgspec.json.Encoder().encode
_word = msgspec.json.Decoder(Word).decode
_any = msgspec.json.Decoder(dict[str, Any]).decode


def queue_of(task: TaskSpec) -> str:
    """Whose workers run it: those for CPU work where it is marked `cpu`."""
    return "cpu" if task.cpu else "io"


def queue_named(name: str) -> str:
    """The queue's name on the broker."""
    return f"laneway.{name}"


def reply_queue(name: str) -> Any:
    """One engine's queue of replies: kept while the broker restarts, gone an hour after nobody reads it."""
    return _queue(name, exchange="", expires=_REPLIES_EXPIRE_SECONDS)


def _queue(name: str, **more: Any) -> Any:
    from kombu import entity  # noqa: PLC0415 - optional

    make: Any = entity.Queue
    return make(name, routing_key=name, durable=True, **more)


def celery_app(broker: str, **more: Any) -> Any:
    """A Celery application of our own, which becomes nobody's current one.

    Raises:
        ImportError: Celery, or the broker's driver, is not installed.
    """
    from celery import Celery  # noqa: PLC0415 - optional

    app: Any = Celery("laneway", broker=broker, set_as_current=False)
    options: dict[str, Any] = (
        {"confirm_publish": True}
        if broker.startswith(("amqp", "pyamqp"))
        else {"visibility_timeout": _VISIBILITY_SECONDS}
    )
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_queues=[_queue(queue_named(one)) for one in QUEUES],
        task_default_queue=queue_named("io"),
        control_exchange="laneway",
        event_exchange="laneway.events",
        worker_prefetch_multiplier=1,
        # Celery takes the reduction back in the thread that ran the order, while another reads from the same AMQP
        # connection: both then wait for ever, until the broker misses heartbeats.
        worker_enable_prefetch_count_reduction=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_timeout=4,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=False,
        broker_connection_max_retries=None,
        broker_heartbeat=10,
        broker_transport_options=options,
        **more,
    )
    return app


def broker_problem(broker: str) -> str:
    """Why a broker cannot be used now, or an empty text. Blocks for a few seconds at most."""
    connection: Any = None
    try:
        connection = celery_app(broker).connection_for_write()
        connection.ensure_connection(max_retries=1, interval_start=0.0, timeout=4)
    except Exception as error:  # noqa: BLE001 - transports raise what their drivers raise
        return words(error)
    finally:
        shut(connection)
    return ""


def shut(connection: Any, *, broken: bool = False) -> None:
    """Close a connection; what is broken is not asked to say goodbye, which would leave its socket open."""
    if connection is not None:
        with suppress(Exception):  # its other end may be gone, and nothing more is expected of it
            if broken:
                connection.collect(socket_timeout=1.0)
            else:
                connection.release()


def words(error: BaseException) -> str:
    """What went wrong, in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")


def shown(broker: str) -> str:
    """A broker's URL without its password."""
    parts = urlsplit(broker)
    if not parts.password:
        return broker
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")))


def order_text(order: StepOrder) -> str:
    """An order as JSON text. Its paths mean nothing elsewhere, apart from a package's own."""
    unit = msgspec.structs.replace(order.unit, inherited=())
    described = {
        "unit": unit,
        "task": order.task.described(),
        "payload": order.payload.decode(),
        "run": order.run,
        "item": order.item,
        "attempt": order.attempt,
        "workflow": order.workflow,
        "metadata": order.metadata,
    }
    return _encode(described).decode()


def order_from(text: str) -> StepOrder:
    """The inverse of `order_text`."""
    found = _any(text)
    return StepOrder(
        msgspec.convert(found["unit"], Unit),
        TaskSpec.from_described(found["task"]),
        found["payload"].encode(),
        found["run"],
        found["item"],
        found["attempt"],
        found["workflow"],
        found["metadata"],
    )


def word_text(word: Word) -> bytes:
    """A word as JSON."""
    return _encode(word)


def word_from(data: bytes | str) -> Word | None:
    """The inverse of `word_text`; None for what is none of ours."""
    try:
        return _word(data)
    except msgspec.DecodeError:
        return None


def outcome_text(outcome: Outcome) -> str:
    """An outcome as JSON text."""
    described: dict[str, Any] = msgspec.structs.asdict(outcome)
    described["body"] = outcome.body.decode()
    return _encode(described).decode()


def outcome_from(text: str) -> Outcome:
    """The inverse of `outcome_text`."""
    found = _any(text)
    found["body"] = found["body"].encode()
    found["refusals"] = tuple(found["refusals"])
    return Outcome(**found)
