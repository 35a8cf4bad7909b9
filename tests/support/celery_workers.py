"""`laneway worker` as a process of its own, for tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from brokers import until

__all__ = ["Worker"]


class Worker:
    """One worker; its standard output and error go into files that can be read at any time."""

    def __init__(self, broker: str, folder: Path, *arguments: str, **variables: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("worker-*.out")))
        self._out = folder / f"worker-{number}.out"
        self._err = folder / f"worker-{number}.err"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LANEWAY_")}
        environment = {
            **kept,
            "LANEWAY_CELERY_BROKER": broker,
            "LANEWAY_LOG_FORMAT": "json",
            "LANEWAY_LOG": "info",
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parent), *filter(None, [kept.get("PYTHONPATH")])]
            ),
            **variables,
        }
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "laneway", "worker", *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def ready(self) -> Worker:
        """Wait until it takes steps."""

        def told() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"the worker ended:\n{self.out}\n{self.err}")
            return " takes " in self.out

        until(told, "the worker's start", 40)
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float = 30) -> int:
        """Ask it to end, and wait; its exit status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it without a word, as a machine that loses its power does; what it started goes with it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
