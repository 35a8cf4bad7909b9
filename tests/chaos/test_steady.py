"""A steady workload with retention: memory, file and latency stay flat. STEADY_STEPS=200000 is the long version."""

import os
from pathlib import Path

import pytest
from benchmarks.steady import flatness, measured

STEPS = int(os.environ.get("STEADY_STEPS", "9000"))
RATE = 400.0
"""Runs a second: at this rate the short version takes eight seconds, the long one three minutes."""

LOG_KB = 40_000
"""It was seen to reach 25 MiB where nothing but chains is written; see decision 13."""


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_memory_file_and_latency_stay_flat_with_retention(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = await measured(f"sqlite:///{tmp_path}/store.db", steps=STEPS, rate=RATE, retention=1.0)
    half = len(notes) // 2
    with capsys.disabled():
        ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in flatness(notes).items())
        print(f"\n{notes[-1].steps} steps, late over early: {ratios}")
    assert notes[-1].resident_kb - notes[half].resident_kb < 8_000, "memory does not grow"
    early = max(one.file_kb for one in notes[:half])
    assert max(one.file_kb for one in notes[half:]) <= 1.25 * early + 1000, "the file does not grow"
    assert max(one.log_kb for one in notes) < LOG_KB, "the log starts anew"
    assert notes[-1].runs_kept < STEPS // 3, "old runs go while the engine works"
    assert flatness(notes)["cpu"] < 1.5, "a step does not cost more and more"
    assert flatness(notes)["latency"] < 10, "latency does not grow; what else the machine does moves it too"
