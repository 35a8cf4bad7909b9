"""Real message brokers for the tests: on loopback, on free ports, in throw-away folders, ended with all they start."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from glob import glob
from pathlib import Path

from parts import lacking
from ports import free_port
from private_programs import environment_for, unpacked

__all__ = ["Broker", "RabbitServer", "RedisServer", "until"]

_START_SECONDS = 60.0
_MISSING = "scripts/services ensure brings it"


def until(told: Callable[[], bool], what: str, seconds: float = _START_SECONDS) -> None:
    """Wait for something that happens by itself."""
    end = time.monotonic() + seconds
    pause = 0.01
    while not told():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Broker:
    """A server that can be stopped, killed and started again on the same port and folder."""

    url: str

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"laneway-{name}-", dir="/tmp"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        process = self._process

        def told() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended: {(self.folder / 'out').read_text()[-2000:]}")
            return self._is_ready()

        until(told, f"{type(self).__name__} start")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, gently or not, and wait for that."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            self._signal(process, number)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)

    def remove(self) -> None:
        """End it and remove what it left."""
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, process: subprocess.Popen[bytes], number: int) -> None:
        os.killpg(process.pid, number)

    def _is_ready(self) -> bool:
        return _answers(self.port)

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def _command(self) -> list[str]:
        raise NotImplementedError


class RedisServer(Broker):
    """Redis without persistence: what it holds is gone when it restarts, as with most people's."""

    def __init__(self) -> None:
        super().__init__("redis")
        self.url = f"redis://127.0.0.1:{self.port}/0"
        found = shutil.which("redis-server") or shutil.which("redis-server", path=str(unpacked() / "usr/bin"))
        if found is None:
            lacking(f"needs redis-server: {_MISSING}")
        self._program = Path(found)

    def _command(self) -> list[str]:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self.folder}
        return [
            str(self._program),
            *(str(part) for key, value in options.items() for part in (f"--{key}", value)),
        ]

    def _environment(self) -> dict[str, str]:
        return environment_for(self._program)


class RabbitServer(Broker):
    """RabbitMQ with its own Erlang port mapper, so that it meets no other node of the machine."""

    def __init__(self) -> None:
        super().__init__("rabbit")
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        roots = ["", str(unpacked())]
        found = [
            one for root in roots for one in sorted(glob(f"{root}/usr/lib/rabbitmq/lib/rabbitmq_server-*"))
        ]
        if not found:
            lacking(f"needs rabbitmq-server: {_MISSING}")
        self._home = Path(found[0]).resolve()
        self._erlang = self._home.parents[2] / "erlang"
        self._mapper, self._distribution = free_port(), free_port()

    def _command(self) -> list[str]:
        return [str(self._home / "sbin" / "rabbitmq-server")]

    def _environment(self) -> dict[str, str]:
        for name in ("log", "data"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "plugins").write_text("[].")
        # Its node listens on loopback alone, tells nobody, and does not spin while idle.
        arguments = "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
        return {
            **environment_for(self._home),
            "PATH": f"{self._erlang / 'bin'}:{os.environ['PATH']}",
            "ERL_ROOTDIR": str(self._erlang),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "RABBITMQ_HOME": str(self._home),
            "RABBITMQ_NODENAME": f"laneway{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": arguments,
            "ERL_EPMD_PORT": str(self._mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the node, what it started beside itself, and its port mapper."""
        super().stop(number)
        until(lambda: not _answers(self.port), "the end of RabbitMQ", 20)
        for mapper in sorted(self._erlang.glob("erts-*/bin/epmd")):
            subprocess.run(
                [str(mapper), "-port", str(self._mapper), "-kill"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
