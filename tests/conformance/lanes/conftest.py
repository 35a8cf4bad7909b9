"""Opened lanes for the conformance suite."""

from collections.abc import AsyncIterator, Callable

import pytest

from laneway.lanes import Fleet, InterpreterLane, LoopLane, ProcessLane, ThreadLane
from laneway.ports import Lane

LANES: dict[str, Callable[[Fleet], Lane]] = {
    "loop": LoopLane,
    "thread": ThreadLane,
    "interpreter": InterpreterLane,
    "process": ProcessLane,
    "interpreter on processes": InterpreterLane,
}


@pytest.fixture(params=list(LANES))
async def lane(request: pytest.FixtureRequest) -> AsyncIterator[Lane]:
    fleet = Fleet(workers=2, interpreters="on processes" not in request.param)
    lane = LANES[request.param](fleet)
    await lane.open()
    yield lane
    await lane.close(grace=2)
