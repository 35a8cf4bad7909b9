"""Real servers for the tests, started on free ports in throw-away folders."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from uuid import uuid4

import psycopg
from parts import lacking
from ports import free_port
from private_programs import environment_for, unpacked
from psycopg import sql

__all__ = ["PostgresServer", "needed_programs", "postgres_server"]


def _postgres_programs() -> Path | None:
    """The folder with initdb and postgres, if there is one."""
    on_path = shutil.which("initdb")
    places = ("", str(unpacked()))
    found = [one for root in places for one in sorted(glob(f"{root}/usr/lib/postgresql/*/bin/initdb"))[::-1]]
    name = on_path or (found[0] if found else None)
    return None if name is None else Path(name).resolve().parent


class PostgresServer:
    """One Postgres server with a database `laneway`. Postgres refuses root: then it runs as the user `postgres`."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="laneway-postgres-", dir="/tmp"))
        self._user = "postgres" if os.geteuid() == 0 else None
        self.port = free_port()
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._run(
            "initdb",
            "-D",
            str(self.folder / "data"),
            "-A",
            "trust",
            "-U",
            "laneway",
            "-E",
            "UTF8",
            "--no-sync",
        )

    @property
    def url(self) -> str:
        return self.database("postgres")

    def database(self, name: str) -> str:
        return f"postgresql://laneway@127.0.0.1:{self.port}/{name}"

    def new_database(self) -> str:
        """The URL of an empty database; it goes with the server."""
        name = f"test_{uuid4().hex}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return self.database(name)

    def start(self, *options: str) -> None:
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "30", "-l", str(self.folder / "log"),
            "-o", " ".join([settings, *options]), "start",
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "30", "-m", mode, "stop")

    def remove(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(
            command,
            check=True,
            user=self._user,
            cwd="/",
            env=environment_for(self._programs),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server of its own within the block; skips the test, or fails it in CI, where Postgres is not installed."""
    server = PostgresServer(needed_programs())
    try:
        server.start()
        yield server
    finally:
        server.remove()


def needed_programs() -> Path:
    """Postgres's programs; without them the test is skipped, or fails in CI."""
    return _postgres_programs() or lacking("needs PostgreSQL's programs: apt-get install postgresql")
