"""What a worker says to engines: a thread that sends words in order, until the broker has taken them."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from laneway.lanes._celery_wire import Word, reply_queue, shut, word_text

__all__ = ["Outbox"]

log = logging.getLogger("laneway.worker")

_ALIVE_SECONDS = 2.0
_AGAIN_SECONDS = 0.5
_HELD_SECONDS = 0.05


class _Letter(NamedTuple):
    to: str
    word: Word
    sent: Callable[[], None] | None


class Outbox:
    """Sends words to engines' queues of replies, and signs of life while anything runs.

    Args:
        app: the Celery application.
        worker: the worker's name.
        running: gives what runs now, as pairs of an engine's queue and a delivery.
    """

    def __init__(self, app: Any, worker: str, running: Callable[[], list[tuple[str, str]]]) -> None:
        self._app = app
        self._worker = worker
        self._running = running
        self._letters: queue.SimpleQueue[_Letter | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self._connection: Any = None
        self._producer: Any = None
        self._declared: set[str] = set()
        self._complained = False
        self._thread = threading.Thread(target=self._serve, name="laneway-words", daemon=True)
        self._thread.start()

    def say(self, to: str, word: Word, sent: Callable[[], None] | None = None) -> None:
        """Send a word; `sent` is called in the sending thread once the broker has it."""
        self._letters.put(_Letter(to, word, sent))

    def close(self, timeout: float) -> None:
        """Send what waits, within `timeout` seconds."""
        self._letters.put(None)
        self._thread.join(timeout)
        self._over.set()
        self._thread.join(1.0)

    def _serve(self) -> None:
        held: dict[str, tuple[float, _Letter]] = {}
        """Words that an order was taken, and when to send them: none is needed where the outcome is quicker."""
        signs_at = 0.0
        while True:
            now = time.monotonic()
            due = [at for at, _ in held.values()][:1]
            if self._running():
                if signs_at <= now:
                    self._send_signs()
                    signs_at = now + _ALIVE_SECONDS
                due.append(signs_at)
            else:
                signs_at = now + _ALIVE_SECONDS
            for delivery in [one for one, (at, _) in held.items() if at <= now]:
                self._send(*held.pop(delivery)[1][:2])
            try:
                letter = self._letters.get(timeout=max(0.0, min(due) - now) if due else None)
            except queue.Empty:
                continue
            if letter is None:
                break
            if letter.word.kind == "began":
                held[letter.word.delivery] = now + _HELD_SECONDS, letter
                continue
            held.pop(letter.word.delivery, None)
            if not self._send(letter.to, letter.word):
                break
            if letter.sent is not None:
                letter.sent()
        self._drop()

    def _send_signs(self) -> None:
        """One word to each engine with what runs for it."""
        by_engine: dict[str, list[str]] = {}
        for to, delivery in self._running():
            by_engine.setdefault(to, []).append(delivery)
        for to, deliveries in by_engine.items():
            self._send(to, Word("alive", worker=self._worker, deliveries=deliveries))

    def _send(self, to: str, word: Word) -> bool:
        """True once the broker has it; tries until then, False only when the worker must end."""
        data = word_text(word)
        while not self._over.is_set():
            try:
                if self._producer is None:
                    self._connection = self._app.connection_for_write()
                    self._connection.ensure_connection(max_retries=1, interval_start=0.0, timeout=4)
                    self._producer = self._connection.Producer()
                if to not in self._declared:
                    reply_queue(to).bind(self._connection.default_channel).declare()
                    self._declared.add(to)
                self._producer.publish(
                    data,
                    exchange="",
                    routing_key=to,
                    content_type="application/json",
                    content_encoding="utf-8",
                )
            except Exception as error:  # noqa: BLE001 - transports raise what their drivers raise
                self._drop(broken=True)
                if not self._complained:
                    self._complained = True
                    log.warning("the broker cannot be reached (%s); trying on", error)
                self._over.wait(_AGAIN_SECONDS)
            else:
                self._complained = False
                return True
        return False

    def _drop(self, *, broken: bool = False) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        self._declared.clear()
        shut(connection, broken=broken)
