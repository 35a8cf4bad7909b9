"""The kill campaign: a program is killed again and again, and must lose and repeat nothing that was committed.

    PYTHONPATH=tests/support python -m tests.chaos.campaign --kills 300 [--seed N] [--store URL-or-folder]

After every kill: each step that was committed before is still there, unchanged. At the end: every step that had been
committed at a kill never ran again, and every run came to what it comes to undisturbed.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from servers import postgres_server
from tests.chaos import reading

from laneway.testing.crash_points import STORE_POINTS

ROOT = Path(__file__).resolve().parents[2]
POINTS = (*STORE_POINTS, "outcome", "told")
_LIFE_SECONDS = 60
_LIVES = 15
"""Kills of one store before its workload is allowed to end."""


class Kill(NamedTuple):
    """How one life ends: at the `number`th passing of a point, or after that part of an undisturbed life."""

    point: str = ""
    number: int = 0
    part: float = 0.0


class Tally:
    """What a campaign counted."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.kills = 0
        self.survived = 0
        self.stores = 0
        self.steps = 0
        self.kept = 0
        self.rerun = 0

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.kills} kills ({self.survived} lives ended before their kill), "
            f"{self.stores} stores, {self.steps} steps, {self.kept} committed before a kill, 0 lost, 0 repeated, "
            f"{self.rerun} uncommitted ones run again"
        )


def kills_of(seed: int, number: int, *, every_point: int) -> list[Kill]:
    """The kills of a campaign: each point at `every_point` passings, then random moments; shuffled."""
    chance = random.Random(seed)
    named = [Kill(point, chance.randint(1, 15)) for point in POINTS for _ in range(every_point)]
    timed = [Kill(part=chance.uniform(0.0, 1.0)) for _ in range(number)]
    kills = [*named, *timed]
    chance.shuffle(kills)
    return kills


def undisturbed(folder: Path, rounds: int, url: Callable[[Path], str]) -> tuple[dict[str, Any], float]:
    """What every run comes to when nobody kills anything, and how many seconds that takes."""
    found, seconds = _live(url(folder), folder / "log", rounds)
    assert found is not None
    return found, seconds


def campaign(
    kills: list[Kill], tally: Tally, *, rounds: int, folder: Path, url: Callable[[Path], str] | None = None
) -> Tally:
    """Go through the kills, `_LIVES` on one store at most."""
    address = url or (lambda place: f"sqlite:///{place}/store.db")
    wanted, seconds = undisturbed(_fresh(folder), rounds, address)
    waiting = list(kills)
    while waiting:
        lives, waiting = waiting[:_LIVES], waiting[_LIVES:]
        left = _one_store(lives, tally, wanted, rounds, _fresh(folder), address, seconds)
        waiting = left + waiting
    return tally


def _one_store(
    lives: list[Kill],
    tally: Tally,
    wanted: dict[str, Any],
    rounds: int,
    place: Path,
    address: Callable[[Path], str],
    seconds: float,
) -> list[Kill]:
    """Kill a program on one store until the kills are used up or the work is done; returns unused kills."""
    store, log = address(place), place / "log"
    committed: dict[tuple[str, str, int], Any] = {}
    lines: Counter[str] = Counter()
    tally.stores += 1
    ended: dict[str, Any] | None = None
    while lives and ended is None:
        kill = lives.pop(0)
        ended, _ = _live(store, log, rounds, kill, after=seconds * kill.part)
        now = reading.committed_steps(store)
        lost = [key for key, row in committed.items() if now.get(key) != row]
        assert not lost, f"{kill} lost or changed {lost[:3]} in {store}"
        ran = _lines(log)
        repeated = [key for key in committed if ran[_line(key)] != lines[_line(key)]]
        assert not repeated, f"{kill} repeated {repeated[:3]} in {store}"
        committed, lines = now, ran
        tally.kills += ended is None
        tally.survived += ended is not None
    tally.kept += len(committed)
    if ended is None:
        ended, _ = _live(store, log, rounds)
        ran = _lines(log)
        repeated = [key for key in committed if ran[_line(key)] != lines[_line(key)]]
        assert not repeated, f"the last life repeated {repeated[:3]} in {store}"
    assert ended is not None
    for key, result in wanted.items():
        plain = {**result, "context": {**result["context"], "log": str(log)}}
        assert ended[key] == plain, f"run {key} came to {ended[key]}, not to {plain}"
    final = reading.committed_steps(store)
    tally.steps += len(final)
    tally.rerun += sum(_lines(log).values()) - len([key for key in final if _lines(log)[_line(key)]])
    problems = reading.problems(store)
    assert not problems, problems
    return lives


def _live(
    store: str, log: Path, rounds: int, kill: Kill | None = None, after: float = 0.0
) -> tuple[dict[str, Any] | None, float]:
    """One life of the program; what its runs came to, or None if it was killed first, and how long it was at work."""
    command = [sys.executable, "-m", "tests.chaos.child", store, str(log), "--rounds", str(rounds)]
    if kill is not None and kill.point:
        command += ["--point", kill.point, "--number", str(kill.number)]
    if after:
        command += ["--after", str(after)]
    child = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=_LIFE_SECONDS, check=False
    )
    killed = (-signal.SIGKILL, -signal.SIGALRM)
    assert child.returncode in (0, *killed), f"the program ended with {child.returncode}: {child.stdout}"
    if child.returncode:
        return None, 0.0
    result = json.loads(child.stdout.strip().splitlines()[-1])
    return result["runs"], result["seconds"]


def _lines(log: Path) -> Counter[str]:
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def _line(key: tuple[str, str, int]) -> str:
    run, task, item = key
    return f"{run} {task} {'' if item < 0 else item}"


def _fresh(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


@contextmanager
def serving() -> Iterator[Callable[[Path], str]]:
    """A Postgres server; gives a new database's URL for each folder."""
    with postgres_server() as server:

        def url(place: Path) -> str:
            name = "".join(one for one in place.name.lower() if one.isalnum())
            with psycopg.connect(server.url, autocommit=True) as connection:
                if (
                    connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone()
                    is None
                ):
                    connection.execute(f"create database {name}".encode())
            return server.database(name)

        yield url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="random moments")
    parser.add_argument("--every-point", type=int, default=5, help="passings at which each named point kills")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--postgres", action="store_true", help="on a Postgres server of its own; random moments only"
    )
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        every_point = 0 if options.postgres else options.every_point
        kills = kills_of(options.seed, options.kills, every_point=every_point)
        if options.postgres:
            with serving() as url:
                print(
                    campaign(kills, Tally(options.seed), rounds=options.rounds, folder=Path(folder), url=url)
                )
        else:
            print(campaign(kills, Tally(options.seed), rounds=options.rounds, folder=Path(folder)))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
