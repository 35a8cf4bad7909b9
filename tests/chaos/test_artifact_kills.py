"""SIGKILL between keeping artifacts and committing steps leaves only what a sweep removes, and never a dangling one."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid7

import pytest
from tests.chaos.campaign import serving

from laneway._core.artifacts import named
from laneway.engine.artifact_references import digests_in
from laneway.ports import Store
from laneway.registry import store_from
from laneway.stores._processes import here
from laneway.stores.artifacts import artifacts_of
from laneway.testing.crash_points import ARTIFACT_POINTS, STORE_POINTS

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("LANEWAY_TEST_ARTIFACT_KILLS", "1"))


def live(store: str, runs: int, point: str = "", number: int = 0) -> dict[str, Any] | None:
    """One life of the program: what its runs came to, or None if it was killed."""
    command = [sys.executable, "-m", "tests.chaos.artifact_child", store, "--runs", str(runs)]
    command += ["--point", point, "--number", str(number)] if point else []
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if ended.returncode == -signal.SIGKILL:
        return None
    assert ended.returncode == 0, ended.stderr
    contexts: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return contexts


async def read(store: Store, digest: str, folder: Path) -> bytes | None:
    target = folder / uuid7().hex
    if not await artifacts_of(store).fetch(digest, str(target)):
        return None
    body = target.read_bytes()
    target.unlink()
    return body


async def check_nothing_dangles(store: Store, folder: Path) -> int:
    """Everything that committed steps and runs refer to is there, and is what it says; says how much that is."""
    checked: set[str] = set()
    for run in await store.read("runs", limit=1000):
        saved = (await store.read("saved", run=run["id"]))[0]["saved"]
        record = saved.record
        bodies = [one for one in (record.context, record.final, *(row.patch for row in saved.steps)) if one]
        used = {row["digest"] for row in await artifacts_of(store).listed(record.run)}
        for digest in digests_in(bodies):
            assert digest in used, f"run {run['id']} does not hold {digest}"
            if digest not in checked:
                body = await read(store, digest, folder)
                assert body is not None, f"{digest} of run {run['id']} is gone"
                assert hashlib.sha256(body).hexdigest() == digest
                checked.add(digest)
    return len(checked)


def expected(name: str) -> bytes:
    return b"".join(
        one.upper() for one in (b"common", f"{name} 0".encode() * 5000, f"{name} 1".encode() * 5000)
    )


async def opened(url: str) -> Store:
    store = store_from(url, durability="commit")
    await store.open(here(str(uuid7())))
    return store


async def campaign(url: str, points: list[tuple[str, int]], folder: Path) -> tuple[int, int]:
    kills = runs = held = 0
    for point, number in points:
        runs += 1
        if live(url, runs, point, number) is not None:
            continue
        kills += 1
        store = await opened(url)
        await store.sweep(before=1.0)  # takes no runs, but what nobody uses
        held = max(held, await check_nothing_dangles(store, folder))
        await store.close()
    contexts = live(url, runs)
    assert contexts is not None
    store = await opened(url)
    try:
        for name, context in contexts.items():
            found = named(context["joined"]["whole"])
            assert found is not None
            assert await read(store, found[0], folder) == expected(name)
        assert await check_nothing_dangles(store, folder) > 0
        assert (await store.read("sizes"))[0]["runs"] == runs, "a run was lost or made twice"
        while (await store.sweep(before=1e12))["runs"]:
            continue
        (sizes,) = await store.read("sizes")
        assert (sizes["artifacts"], sizes["artifact_bytes"]) == (0, 0)
    finally:
        await store.close()
    return kills, held


@pytest.fixture
def chance(capsys: pytest.CaptureFixture[str]) -> random.Random:
    seed = random.randrange(1 << 30)
    with capsys.disabled():
        print(f"\nartifact kills, seed {seed}")
    return random.Random(seed)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(60 + 120 * ROUNDS)
async def test_program_killed_while_it_keeps_artifacts_leaves_nothing_dangling(
    tmp_path: Path, chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    names = (*STORE_POINTS, *ARTIFACT_POINTS, "kept", "told")
    points = [(one, chance.randint(1, 6)) for _ in range(ROUNDS) for one in names]
    chance.shuffle(points)
    kills, held = await campaign(f"sqlite:///{tmp_path}/store.db", points, tmp_path)
    with capsys.disabled():
        print(
            f"{kills} kills of {len(points)} lives, {held} artifacts held at the last of them, none dangling"
        )
    assert kills >= len(points) // 2
    folder = tmp_path / "store.db.artifacts"
    assert [one for one in folder.rglob("*") if one.is_file()] == []


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.postgres
@pytest.mark.timeout(60 + 120 * ROUNDS)
async def test_the_same_holds_on_postgres(
    tmp_path: Path, chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [(one, chance.randint(1, 4)) for _ in range(ROUNDS) for one in ("kept", "told", "kept")]
    with serving() as url:
        kills, held = await campaign(url(tmp_path), points, tmp_path)
    with capsys.disabled():
        print(f"Postgres: {kills} kills of {len(points)} lives, {held} artifacts held, none dangling")
    assert kills >= len(points) // 2
