"""Retries: how often, after what and how long apart; on every lane, over restarts, misspelt ones refused."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from laneway import Engine, Retry, RunFailed, Workflow, task
from laneway._core.retry import delay_before


class Unlucky(ConnectionError):
    pass


def failing(error: BaseException, **options: Any) -> tuple[Workflow, list[int]]:
    tries: list[int] = []

    @task(**options)
    async def shaky() -> None:
        tries.append(1)
        raise error

    return Workflow("shaky", [shaky]), tries


QUICK = {"backoff": 0.001, "cap": 0.001}


@pytest.mark.parametrize(
    ("error", "on", "tries"),
    [
        (Unlucky("x"), [], 3),
        (Unlucky("x"), [Unlucky], 3),
        (Unlucky("x"), [ConnectionError], 3),
        (Unlucky("x"), [OSError], 3),
        (Unlucky("x"), [ValueError], 1),
        (ImportError("x"), ["missing_import"], 3),
        (TimeoutError("x"), [ValueError, "timeout"], 3),
        (ValueError("x"), ["timeout"], 1),
    ],
)
async def test_only_the_named_failures_are_tried_again(
    engine: Engine, error: BaseException, on: list[Any], tries: int
) -> None:
    flow, seen = failing(error, retry=Retry(attempts=3, on=on, **QUICK))
    with pytest.raises(RunFailed) as caught:
        await engine.run(flow)
    assert len(seen) == tries
    assert len(caught.value.result.steps[0].attempts) == tries


async def test_the_type_is_known_on_another_lane_too(engine: Engine) -> None:
    @task(lane="thread", retry=Retry(attempts=2, on=[LookupError], **QUICK))
    def missing() -> Any:
        nothing: dict[str, int] = {}
        return nothing["x"]

    with pytest.raises(RunFailed) as caught:
        await engine.run(Workflow("missing", [missing]))
    assert len(caught.value.result.steps[0].attempts) == 2


def test_waits_grow_up_to_the_cap_and_spread_by_the_jitter() -> None:
    backoff = (0.5, 3.0, 10.0, 0.2)
    assert [delay_before(number, 0.5, backoff) for number in range(2, 7)] == pytest.approx(
        [0.5, 1.5, 4.5, 10.0, 10.0]
    )
    assert delay_before(2, 0.0, backoff) == pytest.approx(0.4)
    assert delay_before(2, 1.0, backoff) == pytest.approx(0.6)
    assert delay_before(100_000, 0.5, backoff) == pytest.approx(10.0)


async def test_a_retry_survives_a_restart_and_keeps_its_count(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/s.db"
    flow, tries = failing(Unlucky("x"), retry=Retry(attempts=2, backoff=0.3, jitter=0))
    async with Engine(store, grace=0) as engine:
        handle = await engine.start(flow)
        retrying = asyncio.Event()
        engine.listen(
            lambda rows: retrying.set() if any(row.kind == "step_retrying" for row in rows) else None
        )
        if not tries or (await engine.result(handle.id)).steps == []:
            await retrying.wait()
    assert len(tries) == 1
    async with Engine(store) as engine:
        result = await (await engine.resume(handle.id, flow)).result(check=False)
        assert (result.status, len(tries)) == ("failed", 2)
        assert [one.number for one in result.steps[0].attempts] == [1, 2]


RETRY: Any = Retry
TASK: Any = task
"""Called as a program without types may call them."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RETRY(attemps=3), "attemps"),
        (lambda: TASK(retry=3), "takes a Retry"),
        (lambda: TASK(retry=RETRY(attempts=0)), "at least 1"),
        (lambda: TASK(retry=RETRY(backoff=-1)), "backoff"),
        (lambda: TASK(retry=RETRY(jitter=2)), "share from 0 to 1"),
        (lambda: TASK(retry=RETRY(on=ValueError)), "takes a list"),
        (lambda: TASK(retry=RETRY(on=[3])), "exception types"),
        (lambda: TASK(retries=1, retry=RETRY()), "not both"),
        (lambda: TASK(retrys=1), "did you mean"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()
