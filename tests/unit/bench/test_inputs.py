"""Where the inputs of a benchmark come from, and what is said of tasks that have none."""

import json
from typing import Any

import pytest
from bench_tasks import flow

from laneway import Workflow, task, wait_for_signal
from laneway._core.lane_times import NotMeasured
from laneway.bench.inputs import Inputs, collect
from laneway.engine.target import Target


@task
def words(text: str) -> list[str]:
    return text.split()


@task(retries=3, pool="none-such", lane="process")
def longest(words: list[str]) -> str:
    return max(words, key=len)


@task
def shout(longest: str, mark: str = "!") -> str:
    return longest.upper() + mark


@task
def broken(words: list[str]) -> int:
    raise ValueError("no good")


@task
def after_broken(broken: int) -> int:
    return broken


@task(when=lambda words: len(words) > 100)
def seldom(words: list[str]) -> int:
    return len(words)


@task
def limited(limit: int) -> int:
    return limit


@task(dependencies=["limited"])
def after_limited() -> int:
    return 1


@task
def patient() -> Any:
    return wait_for_signal("go")


ALL: list[Any] = [words, longest, shout, broken, after_broken, seldom, limited, after_limited]


async def inputs(context: dict[str, Any], *tasks: Any, only: tuple[str, ...] = ()) -> Inputs:
    workflow = Workflow("inputs", list(tasks or ALL))
    return await collect(Target(workflow.spec, None, "test"), context, only=only, say=lambda _: None)


def reason(found: Inputs, name: str) -> NotMeasured:
    return next(one for one in found.missing if one.task == name)


def payloads(found: Inputs, name: str) -> list[Any]:
    return [json.loads(one.payload) for one in found.orders[name]]


async def test_each_task_is_measured_with_what_the_run_gave_it() -> None:
    found = await inputs({"text": "a bb"})
    assert payloads(found, "words") == [{"text": "a bb"}]
    assert payloads(found, "longest") == [{"words": ["a", "bb"]}]
    assert payloads(found, "shout") == [{"longest": "bb"}]


async def test_orders_have_the_options_as_they_were_written() -> None:
    found = await inputs({"text": "a bb"})
    spec = found.orders["longest"][0].task
    assert (spec.lane, spec.retries, spec.pool) == ("process", 3, "none-such")


async def test_a_task_without_its_input_is_listed_with_the_way_to_give_it() -> None:
    found = await inputs({"text": "a"})
    assert reason(found, "limited").reason == "it needs 'limit', which nothing gives"
    assert "-c limit=VALUE" in reason(found, "limited").advice
    assert "'limited', which has no input itself" in reason(found, "after_limited").reason


async def test_nothing_runs_where_nothing_has_inputs() -> None:
    said: list[str] = []
    workflow = Workflow("inputs", [words, longest])
    found = await collect(Target(workflow.spec, None, "test"), {}, say=said.append)
    assert said == []
    assert [one.task for one in found.missing] == ["words", "longest"]


async def test_a_context_key_named_like_a_task_stands_for_its_result() -> None:
    found = await inputs({"words": ["x", "yyy"]}, words, longest)
    assert payloads(found, "longest") == [{"words": ["x", "yyy"]}]
    assert reason(found, "words").reason == "it needs 'text', which nothing gives"


async def test_a_task_that_fails_says_why_and_so_does_what_comes_after_it() -> None:
    found = await inputs({"text": "a", "limit": 1})
    assert reason(found, "broken").reason == "it failed with what it was given: ValueError: no good"
    assert "it did not run" in reason(found, "after_broken").reason
    assert "after_limited" in found.orders


async def test_a_task_that_its_condition_skips_is_said_to_be_skipped() -> None:
    found = await inputs({"text": "a"})
    assert reason(found, "seldom").reason == "its when= skipped it"


async def test_a_task_that_waits_for_a_signal_is_not_measured_and_not_waited_for() -> None:
    found = await inputs({}, patient)
    assert reason(found, "patient").reason == "it waits for something outside"


async def test_only_what_is_asked_for_is_measured_though_what_it_needs_runs() -> None:
    found = await inputs({"text": "a bb"}, only=("longest",))
    assert list(found.orders) == ["longest"]
    assert found.missing == []


async def test_each_item_of_a_mapped_task_is_an_input_and_context_tasks_get_the_whole_context() -> None:
    found = await collect(Target(flow.spec, None, "test"), {"number": 4}, say=lambda _: None)
    assert sorted(one["item"] for one in payloads(found, "times_two")) == [0, 1, 2, 3]
    assert payloads(found, "nested")[0]["times_two"] == [0, 2, 4, 6]


@pytest.mark.parametrize("count", [1, 5000])
async def test_of_very_many_items_only_some_are_kept(count: int) -> None:
    found = await collect(Target(flow.spec, None, "test"), {"number": count}, say=lambda _: None)
    assert len(found.orders["times_two"]) == min(count, 256)
