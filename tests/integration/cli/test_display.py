"""What a terminal shows while a run goes on, through a real pseudo-terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.cli.conftest import environment

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")
SHOW_CURSOR = "\x1b[?25h"
HIDE_CURSOR = "\x1b[?25l"
SLOW_TO_LOOK = """
import asyncio
import sys

from laneway import Engine
from laneway.cli import main

begin = Engine.start

async def start(self, *arguments, **options):
    handle = await begin(self, *arguments, **options)
    await handle.result(check=False)
    await asyncio.sleep(0.1)
    return handle

Engine.start = start
sys.exit(main())
"""


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], columns: int, **variables: str) -> None:
        self.screen, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "laneway", *arguments],
            cwd=folder,
            env=environment(**{"TERM": "xterm-256color", **variables}),
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
        )
        os.close(there)
        self.seen = ""

    def until(self, wanted: str, seconds: float = 30) -> str:
        """Read until that text was shown."""
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            assert time.monotonic() < end, f"{wanted!r} was not shown:\n{self.seen[-2000:]}"
            if not self._more(0.2):
                break
        assert wanted in self.seen, f"{wanted!r} was not shown:\n{self.seen[-2000:]}"
        return self.seen

    def rest(self, seconds: float = 30) -> str:
        """Read to the end of the program."""
        end = time.monotonic() + seconds
        while self._more(0.2):
            assert time.monotonic() < end
        self.process.wait(timeout=10)
        return self.seen

    def _more(self, seconds: float) -> bool:
        """Read what is there; False at the end."""
        ready, _, _ = select.select([self.screen], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.screen, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)

    def press_ctrl_c(self) -> float:
        """As a terminal does: to the whole foreground group. Gives the time."""
        os.killpg(self.process.pid, signal.SIGINT)
        return time.monotonic()


@pytest.fixture
def terminal(folder: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*arguments: str, columns: int = 100, **variables: str) -> Terminal:
        opened.append(Terminal(folder, arguments, columns, **variables))
        return opened[-1]

    yield open_one
    for one in opened:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        os.close(one.screen)


def test_the_display_shows_steps_rate_lanes_and_leaves_the_cursor(terminal: Callable[..., Terminal]) -> None:
    shown = terminal("run", "flow.py:flow", "-c", "n=40", "-c", "pause=0.1").rest()
    plain = ESCAPE.sub("", shown)
    assert re.search(r"\d+/42 steps · [\d.]+/s", plain)
    assert "thread" in plain
    assert "busy of" in plain
    assert "succeeded" in plain
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)


@pytest.mark.parametrize("columns", [40, 60])
def test_no_line_is_wider_than_a_narrow_terminal(terminal: Callable[..., Terminal], columns: int) -> None:
    one = terminal("run", "flow.py:flow", "-c", "n=30", "-c", "pause=0.1", columns=columns)
    shown = one.rest()
    live = shown[shown.index(HIDE_CURSOR) : shown.rindex(SHOW_CURSOR)]
    lines = [ESCAPE.sub("", line) for line in re.split(r"[\r\n]+", live)]
    assert max(len(line) for line in lines) <= columns
    assert one.process.returncode == 0


def test_no_color_leaves_colours_out(terminal: Callable[..., Terminal]) -> None:
    assert COLOUR.search(terminal("run", "flow.py:flow").rest())
    assert not COLOUR.search(terminal("run", "flow.py:flow", NO_COLOR="1").rest())


def test_ctrl_c_on_a_terminal_restores_it_and_says_how_to_go_on(
    terminal: Callable[..., Terminal], folder: Path
) -> None:
    one = terminal("run", "flow.py:flow", "-c", "n=500", "-c", "gate=open")
    one.until("/502 steps")
    one.press_ctrl_c()
    one.until("Ctrl-C again")
    (folder / "open").touch()
    shown = one.rest()
    assert one.process.returncode == 3
    assert "Go on with:" in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)


def test_a_failure_and_what_tasks_print_stand_above_the_display(terminal: Callable[..., Terminal]) -> None:
    shown = terminal("run", "flow.py:parsing", "-c", "text=abc").rest()
    assert "parse failed: ValueError" in ESCAPE.sub("", shown)
    assert "return int(text)" in shown


def test_a_plain_terminal_gets_plain_lines(terminal: Callable[..., Terminal]) -> None:
    shown = terminal("run", "flow.py:flow", TERM="dumb").rest()
    assert "\x1b" not in shown
    assert "double done (3 steps)" in shown


@pytest.mark.parametrize("workflow", ["parsing", "sum"])
def test_a_run_that_is_over_before_the_command_looks_at_it_is_told_like_any_other(
    folder: Path, workflow: str
) -> None:
    (folder / "slow_to_look.py").write_text(SLOW_TO_LOOK, encoding="utf-8")
    target = {"parsing": "flow.py:parsing", "sum": "flow.py:flow"}[workflow]
    done = subprocess.run(
        [sys.executable, "slow_to_look.py", "run", target, "-c", "text=abc"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "is over already" not in done.stderr
    if workflow == "parsing":
        assert done.returncode == 1
        assert done.stderr.count("parse failed: ValueError") == 1
    else:
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("double done (3 steps)") == 1
        assert "total = 6" in done.stdout
