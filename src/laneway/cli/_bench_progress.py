"""How far a benchmark is, on standard error: one line that changes on a terminal, plain lines in a pipe.

Nothing redraws by itself: a display that woke up while a round is measured would be part of it.
"""

import time
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.text import Text

from laneway._core.lane_times import TaskTimes
from laneway.cli import _screen as screen

__all__ = ["BenchProgress"]


class BenchProgress:
    """Shows what is being measured. Make it before standard error is pointed elsewhere."""

    def __init__(self) -> None:
        self._console = screen.errors()
        self._live = (
            Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            if self._console.is_terminal and not self._console.is_dumb_terminal
            else None
        )
        self._title = ""
        self._began = self._first_round = time.monotonic()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Say what goes on before the first task."""
        if self._live is None:
            self._console.print(screen.without_controls(text), soft_wrap=True)
        else:
            self._live.update(Text(screen.without_controls(text)), refresh=True)

    def begin(self, task: str, number: int, total: int) -> None:
        """A task is measured from now on."""
        place = f" ({number + 1} of {total})" if total > 1 else ""
        self._title = f"{screen.without_controls(task)}{place}"
        self._began = time.monotonic()
        if self._live is None:
            self._console.print(f"measuring {self._title}", soft_wrap=True)

    def say(self, text: str, done: int, total: int) -> None:
        """What goes on within a task."""
        if self._live is None:
            return
        left = ""
        if not done:
            self._first_round = time.monotonic()
        else:
            seconds = (time.monotonic() - self._first_round) / done * (total - done)
            left = f", about {screen.clock(seconds)} left"
        told = f"round {done + 1} of {total}{left}" if text == "measuring" else text
        self._live.update(
            Text.assemble((self._title, "bold"), f": {told}", overflow="ellipsis"), refresh=True
        )

    def end(self, times: TaskTimes) -> None:
        """A task is done."""
        if self._live is None:
            spent = screen.seconds(time.monotonic() - self._began)
            self._console.print(
                f"measured {self._title}: {screen.counted(times.rounds, 'round')} in {spent}", soft_wrap=True
            )
