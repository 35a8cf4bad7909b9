"""The engine's connections to a broker: a thread that sends, and a thread that reads replies. Both connect again."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from laneway.lanes._celery_wire import (
    ATTEMPT,
    Word,
    celery_app,
    reply_queue,
    shut,
    word_from,
    word_text,
    words,
)

__all__ = ["Link", "Listening"]

log = logging.getLogger("laneway.lanes.celery")

_DRAIN_SECONDS = 2.0
_AGAIN_SECONDS = 0.5
_READ_AT_ONCE = 256
_ASK_SECONDS = 1.0


class Listening(NamedTuple):
    """What is known of a queue: how many workers read it, and how many orders wait in it."""

    workers: int
    waiting: int


class _Job(NamedTuple):
    act: Callable[[Any], None]
    """Called with a producer."""
    failed: Callable[[str], None]
    deadline: float


class Link:
    """Sends to the broker and reads this engine's replies, in threads of its own.

    Args:
        broker: its URL.
        replies: the name of this engine's queue of replies.
        heard: called in the reading thread for each word.
        changed: called in the reading thread when the connection is there (empty text), or lost (the reason).
    """

    def __init__(
        self, broker: str, replies: str, heard: Callable[[Word], None], changed: Callable[[str], None]
    ) -> None:
        self.broker = broker
        self.replies = replies
        self._heard = heard
        self._changed = changed
        self.app = celery_app(broker)
        self.app.control.mailbox.producer_pool = None  # it goes over the connection that it is given
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self._readable = threading.Event()
        self._why = "no answer yet"
        self._threads = [
            threading.Thread(target=self._send_all, name="laneway-celery-send", daemon=True),
            threading.Thread(target=self._read_all, name="laneway-celery-read", daemon=True),
        ]
        for one in self._threads:
            one.start()

    # ---- for the lane

    def send(
        self,
        delivery: str,
        queue_name: str,
        text: str,
        *,
        patience: float,
        sent: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        """Send an order. In the sending thread `sent` is called once the broker has it, or `failed` with the reason
        if the broker cannot be had within `patience`.
        """

        def act(producer: Any) -> None:
            self.app.send_task(
                ATTEMPT,
                args=[text, self.replies],
                task_id=delivery,
                queue=queue_name,
                producer=producer,
                retry=False,
                argsrepr="",
                kwargsrepr="",
            )
            sent()

        self._jobs.put(_Job(act, failed, time.monotonic() + patience))

    def revoke(self, deliveries: list[str], *, patience: float = 10.0) -> None:
        """Have workers forget these orders, and stop what runs of them."""

        def act(producer: Any) -> None:
            self.app.control.revoke(
                deliveries, terminate=True, signal="SIGKILL", connection=producer.connection
            )

        def failed(reason: str) -> None:
            log.warning("%d orders could not be called back from the broker: %s", len(deliveries), reason)

        self._jobs.put(_Job(act, failed, time.monotonic() + patience))

    def listening(self, queue_name: str) -> Listening:
        """Ask who reads a queue and what waits in it. Blocks for about a second.

        Raises:
            OSError: the broker does not answer.
        """
        connection = self.app.connection_for_write()
        try:
            self._reach(connection)
            inspect = self.app.control.inspect(timeout=_ASK_SECONDS, connection=connection)
            answers: dict[str, Any] = inspect.active_queues() or {}
            try:
                waiting = connection.default_channel.queue_declare(queue_name, passive=True).message_count
            except connection.channel_errors:
                waiting = 0  # there is no such queue: on Redis that is an empty one
        except BaseException:
            shut(connection, broken=True)
            raise
        shut(connection)
        read = [[one.get("name") for one in queues] for queues in answers.values()]
        return Listening(sum(queue_name in names for names in read), waiting)

    def close(self, timeout: float = 5.0) -> None:
        """End both threads, within `timeout` seconds. Called in no event loop."""
        self._over.set()
        self.mark()
        self._jobs.put(None)
        end = time.monotonic() + timeout
        for one in self._threads:
            one.join(max(0.0, end - time.monotonic()))
        with suppress(Exception):  # closing pools of connections that are gone
            self.app.close()

    def mark(self) -> None:
        """Send this engine's own queue a word, which is heard after all that was said before."""
        self._jobs.put(_Job(self._send_mark, lambda _: None, time.monotonic()))

    def _send_mark(self, producer: Any) -> None:
        producer.publish(
            word_text(Word("mark")),
            exchange="",
            routing_key=self.replies,
            content_type="application/json",
            content_encoding="utf-8",
        )

    # ---- sending

    def _reach(self, connection: Any) -> None:
        connection.ensure_connection(max_retries=1, interval_start=0.0, timeout=4)

    def _send_all(self) -> None:
        connection: Any = None
        producer: Any = None
        while (job := self._jobs.get()) is not None:
            while True:
                try:
                    if not self._over.is_set() and not self._readable.wait(_AGAIN_SECONDS):
                        raise ConnectionError(self._why)
                    if connection is None:
                        connection = self.app.connection_for_write()
                        self._reach(connection)
                        producer = self.app.amqp.Producer(connection)
                    job.act(producer)
                except Exception as error:  # noqa: BLE001 - transports raise what their drivers raise
                    shut(connection, broken=True)
                    connection = producer = None
                    if self._over.is_set() or time.monotonic() >= job.deadline:
                        job.failed(words(error))
                        break
                    self._over.wait(_AGAIN_SECONDS)
                else:
                    break
        shut(connection)

    # ---- reading

    def _read_all(self) -> None:
        while not self._over.is_set():
            connection = self.app.connection_for_read()
            try:
                self._reach(connection)
                with connection.Consumer(
                    [reply_queue(self.replies)],
                    on_message=self._on_message,
                    prefetch_count=_READ_AT_ONCE,
                ):
                    self._readable.set()
                    self._changed("")
                    self._drain(connection)
                    with suppress(Exception):  # it also expires by itself
                        reply_queue(self.replies).bind(connection.default_channel).delete()
            except Exception as error:  # noqa: BLE001 - transports raise what their drivers raise
                self._why = words(error)
                if self._readable.is_set():
                    self._readable.clear()
                    self._changed(self._why)
                shut(connection, broken=True)
                self._over.wait(_AGAIN_SECONDS)
            else:
                shut(connection)

    def _drain(self, connection: Any) -> None:
        heartbeats = bool(connection.supports_heartbeats)
        while not self._over.is_set():
            try:
                connection.drain_events(timeout=_DRAIN_SECONDS)
            except TimeoutError:
                if heartbeats:
                    connection.heartbeat_check()

    def _on_message(self, message: Any) -> None:
        word = word_from(message.body)
        if word is not None:
            self._heard(word)
        message.ack()
