"""The conformance suite for lanes: subclass `LaneConformance` in a test module and give it a `lane` fixture."""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from laneway.authoring import spec_of
from laneway.ports import Lane, Outcome, StepOrder, Unit
from laneway.testing import lane_tasks

__all__ = ["LaneConformance", "order_for", "unit_of_tasks"]


def unit_of_tasks() -> Unit:
    """The unit that holds the suite's tasks."""
    name = lane_tasks.__name__
    return Unit(key=f"module:{name}", kind="module", entry=name, inherited=tuple(sys.path), name=name)


def order_for(
    lane: Lane, name: str, arguments: dict[str, Any] | None = None, *, timeout: float | None = None
) -> StepOrder:
    """An order for the suite's task `name`; its coroutine form where the lane takes no plain functions."""
    unit = unit_of_tasks()
    spec = spec_of(getattr(lane_tasks, name))
    if spec is None:
        raise ValueError(f"{name} is not a task")
    if lane.refusal(unit, spec) is not None:
        other = spec_of(getattr(lane_tasks, f"{name}_async", None))
        if other is None:
            raise NotImplementedError(f"the {lane.name} lane cannot run {name}")
        spec = other
    payload = json.dumps(arguments or {}, ensure_ascii=False).encode()
    return StepOrder(unit=unit, task=spec._replace(timeout=timeout), payload=payload, run="conformance")


class LaneConformance:
    """What every lane must do. Subclasses provide the fixture `lane`: an opened lane, closed after the test."""

    async def _run(self, lane: Lane, name: str, timeout: float | None = None, **arguments: Any) -> Outcome:
        return await lane.run(order_for(lane, name, arguments, timeout=timeout))

    async def _value(self, lane: Lane, name: str, **arguments: Any) -> Any:
        outcome = await self._run(lane, name, **arguments)
        assert outcome.kind in ("value", "patch"), outcome
        return json.loads(outcome.body)

    async def _failure(self, lane: Lane, name: str, **arguments: Any) -> dict[str, Any]:
        outcome = await self._run(lane, name, **arguments)
        assert outcome.kind == "failure", outcome
        found: dict[str, Any] = json.loads(outcome.body)
        return found

    async def _both(self, lane: Lane, name: str, check: Callable[[Outcome], None], **arguments: Any) -> None:
        """Run the plain form where the lane takes it, and the coroutine form."""
        for form in (name, f"{name}_async"):
            order = order_for(lane, form, arguments)
            check(await lane.run(order))

    # Results -------------------------------------------------------------------------------------------------

    async def test_value_of_functions_and_coroutines_comes_back(self, lane: Lane) -> None:
        def check(outcome: Outcome) -> None:
            assert outcome.kind == "value"
            assert json.loads(outcome.body) == {"a": [1, 2.5, None, True, "x"]}

        await self._both(lane, "echo", check, data={"a": [1, 2.5, None, True, "x"]})

    async def test_outcome_says_where_and_when_it_ran(self, lane: Lane) -> None:
        before = time.time()
        outcome = await self._run(lane, "echo", data=1)
        assert outcome.lane
        assert before - 1 <= outcome.started <= time.time() + 1
        assert 0 <= outcome.duration < 30
        assert outcome.stopped_by == ""

    async def test_unicode_and_escapes_survive(self, lane: Lane) -> None:
        text = 'é ü 中文 😀 \u2028 \x00 \x1f " \\ \\u0041 \r\n'
        assert await self._value(lane, "echo", data={text: text}) == {text: text}

    async def test_deep_nesting_survives(self, lane: Lane) -> None:
        deep: Any = "bottom"
        for level in range(240):
            deep = {"down": deep} if level % 2 else [deep]
        assert await self._value(lane, "echo", data=deep) == deep

    async def test_numbers_keep_their_type_and_digits(self, lane: Lane) -> None:
        data = [1, 1.0, -0.5, 1e300, 2**63, 2**64, -(2**70), 10**40, True]
        found = await self._value(lane, "echo", data=data)
        assert [(type(one), one) for one in found] == [(type(one), one) for one in data]

    async def test_references_to_artifacts_pass_through_unchanged(self, lane: Lane) -> None:
        one = {"$artifact": f"sha256:{'0123456789abcdef' * 4}", "size": 5, "media_type": "text/plain"}
        data = [one, {"deep": [one], "alike": {**one, "more": 1}}]
        assert await self._value(lane, "echo", data=data) == data
        assert await self._value(
            lane, "nested_change", deep={"list": [0, {"x": one}]}, gone=one, one=1, same=one
        ) == {
            "set": {"deep": {"list": [0, {"x": "changed"}]}, "one": True},
            "removed": ["gone"],
        }

    async def test_default_is_used_when_nothing_is_provided(self, lane: Lane) -> None:
        assert await self._value(lane, "defaulted") == "default"
        assert await self._value(lane, "defaulted", data=0) == 0

    async def test_every_payload_size_comes_back_whole(self, lane: Lane) -> None:
        for size in (0, 1, 1000, 65_500, 65_536, 65_600, 1_000_000, 10_000_000):
            assert await self._value(lane, "echo", data="x" * size) == "x" * size

    async def test_changes_to_the_context_become_a_patch(self, lane: Lane) -> None:
        context = {"deep": {"list": [0, {"x": "old"}]}, "gone": 1, "one": 1, "same": [1, {"a": None}]}
        assert await self._value(lane, "nested_change", **context) == {
            "set": {"deep": {"list": [0, {"x": "changed"}]}, "one": True},
            "removed": ["gone"],
        }

    async def test_returned_mapping_is_a_patch_without_what_did_not_change(self, lane: Lane) -> None:
        assert await self._value(lane, "returns_mapping", same={"k": 1}) == {"set": {"new": 1}, "removed": []}

    async def test_predicate_decides_where_the_task_runs(self, lane: Lane) -> None:
        assert (await self._run(lane, "only_large", data=3)).kind == "skipped"
        assert (await self._run(lane, "only_large", data=30)).kind == "value"

    async def test_concurrent_orders_get_their_own_outcomes(self, lane: Lane) -> None:
        outcomes = await asyncio.gather(*(self._run(lane, "echo", data=number) for number in range(500)))
        assert [json.loads(outcome.body) for outcome in outcomes] == list(range(500))

    async def test_attempts_do_not_share_values(self, lane: Lane) -> None:
        order = order_for(
            lane, "nested_change", {"deep": {"list": [0, {"x": "old"}]}, "gone": 1, "one": 1, "same": 1}
        )
        first, second = await asyncio.gather(lane.run(order), lane.run(order))
        assert first.body == second.body
        assert (await lane.run(order)).body == first.body

    async def test_ten_thousand_attempts_leave_no_thread_and_no_descriptor(self, lane: Lane) -> None:
        async def many(count: int) -> None:
            for _ in range(count // 500):
                outcomes = await asyncio.gather(*(self._run(lane, "echo", data=1) for _ in range(500)))
                assert {outcome.body for outcome in outcomes} == {b"1"}

        async def traces() -> list[Any]:
            """The least of several looks: another look, or a heartbeat, has a descriptor for a moment."""
            there = [await self._value(lane, "leaves_traces", data=1) for _ in range(8)]
            here = (threading.active_count(), len(os.listdir("/proc/self/fd")))
            return [
                {name: min(one[name] for one in there) for name in there[0]},
                here,
                len(lane.health().workers),
            ]

        await many(2000)
        before = await traces()
        await many(10_000)
        assert await traces() == before

    # Failures ------------------------------------------------------------------------------------------------

    async def test_failure_carries_chain_notes_and_source_lines(self, lane: Lane) -> None:
        failure = await self._failure(lane, "raises", which="chained")
        assert (failure["kind"], failure["type"], failure["message"]) == ("other", "RuntimeError", "third")
        assert failure["cause"]["type"] == "ValueError"
        assert failure["cause"]["notes"] == ["a note on second"]
        assert failure["cause"]["cause"]["type"] == "KeyError"
        text = failure["traceback"]
        for part in (
            "KeyError: 'first'",
            "ValueError: second",
            "a note on second",
            'raise RuntimeError("third")',
        ):
            assert part in text, part
        assert "_invoke.py" not in text
        assert "asyncio" not in text

    async def test_exception_groups_keep_their_members(self, lane: Lane) -> None:
        failure = await self._failure(lane, "raises", which="group")
        assert [one["type"] for one in failure["exceptions"]] == ["ValueError", "ExceptionGroup"]
        assert failure["exceptions"][1]["exceptions"][0]["message"] == "two"
        assert "TypeError: two" in failure["traceback"]

    async def test_syntax_error_shows_the_place(self, lane: Lane) -> None:
        failure = await self._failure(lane, "raises", which="syntax")
        assert failure["type"] == "SyntaxError"
        assert "x = = 1" in failure["traceback"]

    async def test_awkward_exceptions_are_reported_whole(self, lane: Lane) -> None:
        assert (await self._failure(lane, "raises", which="unpicklable"))["message"] == "this and that"
        failure = await self._failure(lane, "raises", which="unprintable")
        assert failure["type"] == "Unprintable" or failure["type"].endswith(".Unprintable")
        assert "bad" in (await self._failure(lane, "raises", which="surrogate"))["message"]

    async def test_exits_and_interrupts_are_failures_of_the_task(self, lane: Lane) -> None:
        for which, kind in (
            ("exit", "SystemExit"),
            ("interrupt", "KeyboardInterrupt"),
            ("generator_exit", "GeneratorExit"),
        ):
            assert (await self._failure(lane, "raises", which=which))["type"] == kind
        assert await self._value(lane, "echo", data="still here") == "still here"

    async def test_exhaustion_is_a_failure_and_the_next_task_is_not_blamed(self, lane: Lane) -> None:
        for which, kind in (("memory", "MemoryError"), ("recursion", "RecursionError")):
            assert (await self._failure(lane, "raises", which=which))["type"] == kind
            assert (await self._failure(lane, "raises", which="chained"))["type"] == "RuntimeError"
        assert await self._value(lane, "echo", data=1) == 1

    async def test_failures_are_classified(self, lane: Lane) -> None:
        for which, kind in (("import", "missing_import"), ("type", "type_error"), ("timeout", "timeout")):
            assert (await self._failure(lane, "raises", which=which))["kind"] == kind
        missing = await self._failure(lane, "missing_key")
        assert missing["kind"] == "missing_key"
        assert "nothing" in missing["message"]

    async def test_missing_argument_is_named(self, lane: Lane) -> None:
        failure = await self._failure(lane, "echo")
        assert failure["kind"] == "missing_key"
        assert "data" in failure["message"]
        assert "echo" in failure["message"]

    async def test_what_json_cannot_hold_is_refused_with_its_path(self, lane: Lane) -> None:
        for which in ("nan", "tuple", "set", "bytes", "key", "surrogate", "subclass"):
            failure = await self._failure(lane, "not_json", which=which)
            assert failure["type"] == "JsonInvalid", failure
            assert "result.rows[1].when" in failure["message"], failure
            assert "not_json" in failure["message"]

    # Being stopped -------------------------------------------------------------------------------------------

    async def test_time_limit_ends_a_cooperative_attempt(self, lane: Lane) -> None:
        begun = time.monotonic()
        outcome = await self._run(lane, "cooperative", timeout=0.2, seconds=20)
        assert time.monotonic() - begun < 5
        assert outcome.kind == "failure"
        assert json.loads(outcome.body)["kind"] == "timeout"
        assert outcome.stopped_by == "ask"

    async def test_attempt_within_its_limit_is_left_alone(self, lane: Lane) -> None:
        outcome = await self._run(lane, "cooperative", timeout=20, seconds=0.05)
        assert (outcome.kind, json.loads(outcome.body), outcome.stopped_by) == ("value", "ran through", "")

    async def test_cancelling_stops_the_attempt(self, lane: Lane) -> None:
        await self._value(lane, "echo", data="warm")
        running = asyncio.ensure_future(self._run(lane, "cooperative", seconds=20))
        await asyncio.sleep(0.1)  # any moment will do: before or after the attempt has begun
        begun = time.monotonic()
        running.cancel()
        try:
            await running
        except asyncio.CancelledError:
            pass
        else:
            raise AssertionError("a cancelled attempt came back with an outcome")
        assert time.monotonic() - begun < 5
        assert await self._value(lane, "echo", data="next") == "next"
        assert lane.health().running == 0

    async def test_cancelling_in_the_moment_the_answer_comes_ends_the_attempt(self, lane: Lane) -> None:
        await self._value(lane, "echo", data="warm")
        loop = asyncio.get_running_loop()
        for turns in range(3):
            running = asyncio.ensure_future(self._run(lane, "echo", data="answered"))
            await asyncio.sleep(
                0
            )  # the order is on its way; the loop sees its answer only after the next line
            time.sleep(0.1)  # noqa: ASYNC251 - answer and cancellation are to meet in one turn of the loop
            cancel: Callable[..., Any] = running.cancel
            for _ in range(turns):
                cancel = partial(loop.call_soon, cancel)
            cancel()
            await asyncio.wait({running}, timeout=5)
            assert running.done(), "the attempt goes on although it was answered and nobody wants it"
        assert await self._value(lane, "echo", data="next") == "next"
        assert lane.health().running == 0

    async def test_health_is_plain_data(self, lane: Lane) -> None:
        await self._value(lane, "echo", data=1)
        health = lane.health()
        assert (health.queued, health.running) == (0, 0)
        json.dumps(health.workers)

    async def test_closing_twice_is_harmless(self, lane: Lane) -> None:
        await self._value(lane, "echo", data=1)
        await lane.close(grace=1)
        await lane.close(grace=1)
