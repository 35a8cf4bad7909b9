"""The second thread of a worker: asks or interrupts the running attempt on the engine's word. Standard library only."""

import os
import select
import sys
import threading

from laneway._core.untyped import Any, Callable
from laneway.authoring import AttemptStopped
from laneway.lanes import _frames as frames

__all__ = ["Watchdog"]

_FIRST_SECONDS = 0.02
_LAST_SECONDS = 0.2


class Watchdog:
    """Serves the control pipe for one worker thread.

    Args:
        control: the descriptor of the control socket.
        thread: the ident of the thread that runs attempts.
        cancel: asks an order to stop, from any thread.
        recent: what was printed last.
    """

    def __init__(
        self, control: int, thread: int, cancel: Callable[[int], None], recent: Callable[[], str]
    ) -> None:
        self._control = control
        self._thread = thread
        self.cancel = cancel
        self._recent = recent
        self._lock = threading.Lock()
        self._fired = False
        self._raise: Callable[[int, type[BaseException] | None], None] | None = None
        self.current = 0
        """The order that runs now, else 0."""
        self.asked = 0
        """The order that was last asked to stop."""
        self.must_end = False
        """True once the worker must not take another order."""
        self.ident: int | None = None
        """The watchdog's own thread."""
        self.guard: Any = None
        """The audit hook to lift while an interrupt is taken back."""

    def start(self) -> None:
        """Serve on a thread of its own."""
        thread = threading.Thread(target=self._serve, name="laneway-watchdog")
        thread.start()
        self.ident = thread.ident

    def is_asked(self) -> bool:
        """What `laneway.cancelled()` answers."""
        return self.asked == self.current != 0

    def over(self) -> None:
        """Mark the attempt as over: no interrupt can be raised any more, and one on its way is taken back."""
        with self._lock:
            self.current = 0
            if self._fired and self._raise is not None:
                if self.guard is not None:
                    self.guard.lifted = True
                self._raise(self._thread, None)
                if self.guard is not None:
                    self.guard.lifted = False

    def _serve(self) -> None:
        size = frames.CONTROL.size
        wait: float | None = None
        target = 0
        while True:
            if wait is not None and not select.select([self._control], [], [], wait)[0]:
                wait = min(wait * 2, _LAST_SECONDS) if self._fire(target) else None
                continue
            data = os.read(self._control, size)
            if len(data) < size:
                return
            kind, number = frames.CONTROL.unpack(data)
            if kind == frames.ASK:
                self.asked = number
                self.cancel(number)
            elif kind == frames.INTERRUPT:
                target = number
                wait = _FIRST_SECONDS if self._fire(number) else None
            elif kind == frames.DRAIN:
                self.must_end = True
            elif kind == frames.DUMP:
                self._answer(kind, self._stack())
            else:
                self._answer(kind, "")

    def _fire(self, number: int) -> bool:
        """Raise AttemptStopped in the worker's thread if that order still runs."""
        if self._raise is None:
            self._raise = _raiser()
        with self._lock:
            if self.current != number:
                return False
            self._fired = self.must_end = True
            self._raise(self._thread, AttemptStopped)
        self.cancel(number)  # wakes an event loop that waits, so that the exception arrives
        return True

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._thread)
        lines: list[str] = []
        while frame is not None:
            lines.append(
                f'  File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_name}'
            )
            frame = frame.f_back
        return "\n".join(reversed(lines))

    def _answer(self, kind: int, text: str) -> None:
        body = text.encode("utf-8", "replace")[-32768:]
        try:
            os.write(self._control, frames.CONTROL.pack(kind, len(body)) + body)
        except OSError:  # the engine has closed its end: nobody wants the answer
            return


def _raiser() -> Callable[[int, type[BaseException] | None], None]:
    import ctypes  # noqa: PLC0415 - 5 ms and a wide door: only for workers that must interrupt

    function = ctypes.pythonapi.PyThreadState_SetAsyncExc
    function.argtypes = (ctypes.c_ulong, ctypes.py_object)

    def set_exception(thread: int, kind: type[BaseException] | None) -> None:
        function(thread, ctypes.py_object() if kind is None else ctypes.py_object(kind))

    return set_exception
