"""SIGKILL at every named point of a commit and at random moments loses nothing and repeats nothing."""

import random
from pathlib import Path

import pytest
from tests.chaos.campaign import Tally, campaign, kills_of, serving


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_killed_program_resumes_without_losing_or_repeating_a_committed_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.randrange(1 << 30)
    with capsys.disabled():
        print(f"\nkill campaign, seed {seed}", flush=True)
    tally = campaign(kills_of(seed, 25, every_point=1), Tally(seed), rounds=2, folder=tmp_path)
    with capsys.disabled():
        print(tally)
    assert tally.kills >= 10
    assert tally.kept > 0


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.postgres
@pytest.mark.timeout(300)
def test_the_same_holds_on_postgres(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(1 << 30)
    with serving() as url:
        tally = campaign(kills_of(seed, 10, every_point=0), Tally(seed), rounds=1, folder=tmp_path, url=url)
    with capsys.disabled():
        print(f"\nkill campaign on Postgres, {tally}")
    assert tally.kills >= 3
