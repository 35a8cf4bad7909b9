"""The stop table: what happens to attempts that do not end by themselves, on every lane."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from laneway.lanes import Fleet, InterpreterLane, LoopLane, ProcessLane, ThreadLane
from laneway.lanes._stopping import Ladder
from laneway.ports import Lane, Outcome
from laneway.testing.lanes import order_for

LIMIT = 0.3
ENDED_WITHIN = LIMIT + 3.0

# Case: the rung that ends it on (interpreter, process).
ISOLATED = {
    "cooperative": "ask",
    "endless_loop": "interrupt",
    "swallows_everything": "interrupt",
    "stubborn_coroutine": "interrupt",
    "sleeps": "kill",
    "reads_socket": "kill",
    "catastrophic_expression": "kill",
    "long_c_call": "kill",
    "deadlocked": "kill",
    "stubborn_child": "kill",
}
RUNGS = ("ask", "interrupt", "kill")
OVER_BY_FORCE = ("interrupt", "kill")
"""What waits in a system call may still be woken by the signal that asks for its stack, on Python 3.15 and later."""
ON_THREADS = {
    "cooperative": "ask",
    "endless_loop": "quarantine",
    "sleeps": "quarantine",
    "deadlocked": "quarantine",
}


@pytest.fixture(params=["interpreter", "process"])
async def lane(request: pytest.FixtureRequest) -> AsyncIterator[Lane]:
    fleet = Fleet(workers=2)
    lane: Lane = InterpreterLane(fleet) if request.param == "interpreter" else ProcessLane(fleet)
    await lane.open()
    yield lane
    await lane.close(grace=2)


def is_time_out(outcome: Outcome) -> bool:
    return outcome.kind == "failure" and json.loads(outcome.body)["kind"] == "timeout"


@pytest.mark.parametrize("case", list(ISOLATED))
async def test_attempt_is_over_soon_after_its_limit_whatever_it_does(lane: Lane, case: str) -> None:
    await lane.run(order_for(lane, "echo", {"data": 0}))
    spent: list[float] = []
    for _ in range(3):  # the quickest counts: other programs hold this one up as well
        begun = time.monotonic()
        outcome = await lane.run(order_for(lane, case, {"seconds": 60}, timeout=LIMIT))
        spent.append(time.monotonic() - begun)
        assert is_time_out(outcome), outcome
        if ISOLATED[case] == "kill":
            assert f"in {case}" in json.loads(outcome.body)["traceback"]
        assert outcome.stopped_by in RUNGS
        if spent[-1] < ENDED_WITHIN:
            break
    assert min(spent) < ENDED_WITHIN, spent
    following = await lane.run(order_for(lane, "echo", {"data": "next"}))
    assert following.body == b'"next"'


@pytest.mark.parametrize("place", [InterpreterLane, ProcessLane])
@pytest.mark.parametrize("case", [case for case, rung in ISOLATED.items() if rung != "kill"])
async def test_no_more_force_is_used_than_it_takes(
    place: type[InterpreterLane | ProcessLane], case: str
) -> None:
    rung = ISOLATED[case]
    patience = 0.1 if rung == "interrupt" else 300.0
    lane: Lane = place(Fleet(workers=1, ladder=Ladder(patience, patience, interrupt=300.0)))
    await lane.open()
    await lane.run(order_for(lane, "echo", {"data": 0}))
    outcome = await lane.run(order_for(lane, case, {"seconds": 60}, timeout=LIMIT))
    assert is_time_out(outcome)
    assert RUNGS.index(outcome.stopped_by) <= RUNGS.index(rung)
    await lane.close(grace=2)


async def test_siblings_of_a_killed_worker_lose_nothing(lane: Lane) -> None:
    await asyncio.gather(*(lane.run(order_for(lane, "cooperative", {"seconds": 0.2})) for _ in range(2)))
    stuck = asyncio.ensure_future(lane.run(order_for(lane, "sleeps", {"seconds": 60}, timeout=LIMIT)))
    others = [
        asyncio.ensure_future(lane.run(order_for(lane, "cooperative", {"seconds": 0.4}))) for _ in range(6)
    ]
    outcomes = await asyncio.gather(*others)
    assert [outcome.body for outcome in outcomes] == [b'"ran through"'] * 6
    assert (await stuck).stopped_by in OVER_BY_FORCE


async def test_program_stays_responsive_while_an_attempt_is_killed(lane: Lane) -> None:
    await lane.run(order_for(lane, "echo", {"data": 0}))
    longest = []
    for _ in range(3):  # the smallest counts: other programs hold this one up as well
        order = order_for(lane, "long_c_call", {"seconds": 60}, timeout=LIMIT)
        running = asyncio.ensure_future(lane.run(order))
        longest.append(0.0)
        last = time.monotonic()
        while not running.done():
            await asyncio.sleep(0.01)
            longest[-1], last = max(longest[-1], time.monotonic() - last), time.monotonic()
        assert is_time_out(running.result())
        if longest[-1] < 1.0:
            break
    assert min(longest) < 1.0, longest  # less than what passes between the rungs


async def test_cancelling_ends_a_stuck_attempt_and_says_how(lane: Lane) -> None:
    await lane.run(order_for(lane, "echo", {"data": 0}))
    spent: list[float] = []
    for _ in range(3):  # as above
        running = asyncio.ensure_future(lane.run(order_for(lane, "sleeps", {"seconds": 60})))
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await running
        spent.append(time.monotonic() - begun)
        assert caught.value.stopped_by in OVER_BY_FORCE  # type: ignore[attr-defined]  # added by the lane
        if spent[-1] < 3:
            break
    assert min(spent) < 3, spent


@pytest.mark.parametrize("case", list(ON_THREADS))
async def test_thread_that_cannot_be_stopped_is_quarantined_and_replaced(case: str) -> None:
    fleet = Fleet(workers=1)
    lane = ThreadLane(fleet, threads=1, grace=0.1 if ON_THREADS[case] == "quarantine" else 50)
    await lane.open()
    outcome = await lane.run(order_for(lane, case, {"seconds": 3}, timeout=0.2))
    assert is_time_out(outcome)
    assert outcome.stopped_by == ON_THREADS[case]
    following = await lane.run(order_for(lane, "echo", {"data": 1}))
    assert following.body == b"1"
    assert lane.health().quarantined == (1 if ON_THREADS[case] == "quarantine" else 0)
    await lane.close(grace=0.1)


async def test_exhausted_quarantine_refuses_with_the_reason_or_takes_the_fallback() -> None:
    fleet = Fleet(workers=1)
    lane = ThreadLane(fleet, threads=1, quarantine=0, grace=0.05)
    await lane.open()
    assert (await lane.run(order_for(lane, "sleeps", {"seconds": 3}, timeout=0.3))).stopped_by == "quarantine"
    order = order_for(lane, "echo", {"data": 1})
    refused = await lane.run(order)
    assert refused.kind == "failure"
    assert "stuck" in json.loads(refused.body)["message"]
    moved = await lane.run(msgspec.structs.replace(order, task=order.task._replace(fallback=True)))
    assert (moved.kind, moved.body, moved.lane) == ("value", b"1", "process")
    await lane.close(grace=0.1)


async def test_stubborn_coroutine_on_the_loop_is_asked_again_until_it_ends() -> None:
    lane = LoopLane(Fleet(workers=1))
    await lane.open()
    outcome = await lane.run(order_for(lane, "stubborn_coroutine", {"seconds": 60}, timeout=LIMIT))
    assert is_time_out(outcome)
    assert outcome.stopped_by == "ask"
    await lane.close(grace=1)


DOCUMENT = Path(__file__).parents[3] / "docs" / "explanation" / "lanes.md"
BEGIN, END = "<!-- stop table: begin -->\n", "<!-- stop table: end -->\n"
HOLDS_THE_PROGRAM = ("catastrophic_expression", "long_c_call")


async def one_stop(lane: Lane, case: str) -> str:
    order = order_for(lane, case, {"seconds": 4}, timeout=LIMIT)
    await lane.run(order_for(lane, "echo", {"data": 0}))
    begun = time.monotonic()
    outcome = await lane.run(order)
    assert is_time_out(outcome)
    return f"{outcome.stopped_by}, {time.monotonic() - begun - LIMIT:.1f} s"


async def stop_row(case: str) -> list[str]:
    cells = []
    for name in ("loop", "thread", "interpreter", "process"):
        fleet = Fleet(workers=1)
        lane: Lane = {
            "loop": LoopLane,
            "thread": ThreadLane,
            "interpreter": InterpreterLane,
            "process": ProcessLane,
        }[name](fleet)
        await lane.open()
        is_coroutine = case == "stubborn_coroutine"
        if name == "loop" and not is_coroutine and case != "cooperative":
            cells.append("refused: not a coroutine")
        elif name == "thread" and case in HOLDS_THE_PROGRAM:
            cells.append("not stopped: it holds the program")
        else:
            cells.append(await one_stop(lane, case))
        await lane.close(grace=0.1)
    return cells


@pytest.mark.timeout(180)
async def test_documentation_shows_the_stop_table() -> None:
    text = DOCUMENT.read_text()
    head, rest = text.split(BEGIN)
    table, tail = rest.split(END)
    if os.environ.get("LANEWAY_UPDATE_DOCS"):
        rows = {case: await stop_row(case) for case in ISOLATED}
        table = "| the attempt | loop | thread | interpreter | process |\n|---|---|---|---|---|\n" + "".join(
            f"| {case.replace('_', ' ')} | {' | '.join(cells)} |\n" for case, cells in rows.items()
        )
        DOCUMENT.write_text(head + BEGIN + table + END + tail)
    shown = {line.split("|")[1].strip(): line.split("|")[2:6] for line in table.splitlines()[2:]}
    assert list(shown) == [case.replace("_", " ") for case in ISOLATED]
    for case, rung in ISOLATED.items():
        for cell in shown[case.replace("_", " ")][2:]:
            assert cell.strip().startswith(rung), (case, cell)
    for case, rung in ON_THREADS.items():
        assert shown[case.replace("_", " ")][1].strip().startswith(rung)
