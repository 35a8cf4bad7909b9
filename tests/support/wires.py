"""A Postgres server behind a wire that can be cut: in a network namespace of its own, joined by a veth pair."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from servers import PostgresServer

__all__ = ["PostgresBehindWire"]


class PostgresBehindWire(PostgresServer):
    """A server that is reached through a wire only. `cut` swallows every packet, without a word to either side."""

    def __init__(self, programs: Path, root: list[str]) -> None:
        self._root = root
        self._outside = True
        super().__init__(programs)
        self._outside = False
        number = os.getpid() % 16_000
        self._space = f"laneway{os.getpid()}"
        self._near, self._far = f"lw{os.getpid()}a", f"lw{os.getpid()}b"
        self.address = f"10.213.{number // 64}.{number % 64 * 4 + 2}"
        near = f"10.213.{number // 64}.{number % 64 * 4 + 1}"
        self._ip("netns", "add", self._space)
        self._ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._space)
        self._ip("address", "add", f"{near}/30", "dev", self._near)
        self._ip("link", "set", self._near, "up")
        self._ip("-n", self._space, "address", "add", f"{self.address}/30", "dev", self._far)
        for name in ("lo", self._far):
            self._ip("-n", self._space, "link", "set", name, "up")
        access = self.folder / "data" / "pg_hba.conf"
        line = "host all all 10.213.0.0/16 trust"
        subprocess.run(
            [*root, "tee", "-a", str(access)], input=line, text=True, check=True, capture_output=True
        )

    def database(self, name: str) -> str:
        patience = "tcp_user_timeout=2000&keepalives_idle=1&keepalives_interval=1&keepalives_count=2&connect_timeout=2"
        return f"postgresql://laneway@{self.address}:{self.port}/{name}?{patience}"

    def start(self, *options: str) -> None:
        super().start(*options, f"-c listen_addresses={self.address},127.0.0.1")

    @property
    def inner_url(self) -> str:
        """How programs on the server's own side reach it."""
        return f"postgresql://laneway@127.0.0.1:{self.port}/postgres"

    async def beside(self, script: str, *arguments: str) -> asyncio.subprocess.Process:
        """Run a Python script on the server's own side of the wire."""
        path = f"PYTHONPATH={os.pathsep.join(one for one in sys.path if one)}"
        return await asyncio.create_subprocess_exec(
            *self._root,
            "ip",
            "netns",
            "exec",
            self._space,
            "env",
            path,
            sys.executable,
            "-c",
            script,
            *arguments,
        )

    def cut(self) -> None:
        """From now on nothing gets through. The near side keeps its address and its route."""
        self._ip("-n", self._space, "link", "set", self._far, "down")

    def mend(self) -> None:
        """Everything gets through again."""
        self._ip("-n", self._space, "link", "set", self._far, "up")

    def remove(self) -> None:
        super().remove()
        self._ip("netns", "delete", self._space)

    def _ip(self, *arguments: str) -> None:
        subprocess.run([*self._root, "ip", *arguments], check=True, capture_output=True)

    def _run(self, program: str, *arguments: str) -> None:
        if self._outside:
            super()._run(program, *arguments)
            return
        user = self._user or str(os.getuid())
        command = [str(self._programs / program), *arguments]
        inside = [
            *self._root,
            "ip",
            "netns",
            "exec",
            self._space,
            "setpriv",
            f"--reuid={user}",
            "--clear-groups",
        ]
        subprocess.run(
            [*inside, *command], check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
