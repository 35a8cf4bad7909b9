"""The same workflow gives the same final context, or the same failure, on every lane and every store."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agreeing import OPERATIONS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laneway import Engine, Workflow
from laneway.authoring import spec_of
from laneway.engine.results import RunResult
from laneway.engine.target import Target

KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.text("xy", max_size=2), st.integers(0, 3), max_size=2),
)
PROGRAM = st.fixed_dictionaries(
    {},
    optional={
        "set": st.dictionaries(KEYS, VALUES, max_size=2),
        "remove": st.lists(KEYS, max_size=1),
        "count": st.lists(KEYS, max_size=1),
        "fail": st.sampled_from([False, False, True]),
    },
)
LANES = {
    "loop": "coroutine",
    "thread": "plain",
    "interpreter": "plain",
    "process": "plain",
}


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[list[int]], dict[str, Any]]:
    """A graph over the five operations and what each of them does."""
    edges = [
        sorted(draw(st.sets(st.integers(0, number - 1), max_size=3))) if number else [] for number in range(5)
    ]
    programs = {f"op{number}": draw(PROGRAM) for number in range(5)}
    return edges, {"program": programs, "a": draw(VALUES)}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, dict[str, Engine]]]:
    """One engine per store, open for the whole module."""
    folder = tmp_path_factory.mktemp("agree")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        engines = {
            "memory": runner.run(stack.enter_async_context(Engine("memory://", workers=1))),
            "sqlite": runner.run(
                stack.enter_async_context(Engine(f"sqlite:///{folder}/laneway.db", workers=1))
            ),
        }
        yield runner, engines
        runner.run(stack.aclose())


def target(edges: list[list[int]], lane: str) -> Target:
    """The workflow over those edges with every task on one lane."""
    workflow = Workflow("agree", list(OPERATIONS[LANES[lane]]))
    specs = []
    for number, function in enumerate(OPERATIONS[LANES[lane]]):
        spec = spec_of(function)
        assert spec is not None
        before = tuple(f"op{one}" for one in edges[number])
        specs.append(spec._replace(id=f"op{number}", dependencies=before, lane=lane))
    return Target(workflow.spec._replace(tasks=tuple(specs)), None, "agreeing")


def summary(result: RunResult) -> Any:
    """What must not depend on lane, store or timing."""
    failed = sorted(
        (step.task, step.error["type"], step.error["message"])
        for step in result.steps
        if step.error is not None and step.status == "failed"
    )
    return result.status, result.context, {step.task: step.status for step in result.steps}, failed


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans())
def test_every_lane_and_store_gives_the_same_run(
    fleet: tuple[asyncio.Runner, dict[str, Engine]], plan: tuple[list[list[int]], dict[str, Any]]
) -> None:
    runner, engines = fleet
    edges, context = plan

    async def all_of_them() -> dict[str, Any]:
        return {
            f"{store}/{lane}": summary(await engine.run(target(edges, lane), context, check=False))
            for store, engine in engines.items()
            for lane in LANES
        }

    summaries = runner.run(all_of_them())
    reference = summaries.pop("memory/loop")
    for name, other in summaries.items():
        assert other == reference, name
