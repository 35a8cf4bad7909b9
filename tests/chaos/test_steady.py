"""A steady workload with retention: memory, file and latency stay flat. STEADY_STEPS=200000 is the long version."""

import asyncio
import os
import statistics
import time
from pathlib import Path

import pytest
from tests.chaos.crowd import FLOW

from laneway import Engine

STEPS = int(os.environ.get("STEADY_STEPS", "24000"))
BATCH = 100


def _resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_memory_file_and_latency_stay_flat_with_retention(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.db"
    rounds = STEPS // 3 // BATCH
    resident: list[int] = []
    sizes: list[int] = []
    seconds: list[float] = []
    async with Engine(f"sqlite:///{path}") as engine:
        for number in range(rounds):
            began = time.perf_counter()
            await asyncio.gather(*[engine.run(FLOW, {"n": number}) for _ in range(BATCH)])
            seconds.append(time.perf_counter() - began)
            if number % 5 == 4:
                await engine.sweep(0)
            if number % max(1, rounds // 20) == 0:
                resident.append(_resident_kb())
                sizes.append(path.stat().st_size)
        assert (await engine.store.read("sizes"))[0]["runs"] <= 5 * BATCH
    half = len(resident) // 2
    third = len(seconds) // 3
    early, late = statistics.median(seconds[third : 2 * third]), statistics.median(seconds[-third:])
    with capsys.disabled():
        print(
            f"\n{3 * BATCH * rounds} steps: resident {resident[half]} to {resident[-1]} kB, "
            f"file {max(sizes[:half])} to {max(sizes[half:])} bytes, "
            f"{early * 1000:.0f} to {late * 1000:.0f} ms for {BATCH} runs"
        )
    assert resident[-1] - resident[half] < 8_000, "memory does not grow"
    assert max(sizes[half:]) <= max(sizes[:half]) * 1.25 + 200_000, "the file does not grow"
    assert late < early * 2.5, "latency does not grow"
