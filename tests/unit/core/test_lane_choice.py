"""Which lane a task takes, from facts alone, with the reason; and what is said where a wish cannot be."""

from typing import Any

import pytest

from laneway._core.lane_choice import LaneFacts, choose
from laneway._core.model import TaskSpec

ALL = frozenset({"loop", "thread", "interpreter", "process"})


def facts(**refusals: str) -> LaneFacts:
    return LaneFacts(refusals, ALL)


def spec(**options: Any) -> TaskSpec:
    return TaskSpec(id="work", reference="module:work", **options)


@pytest.mark.parametrize(
    ("options", "refusals", "lane", "reason"),
    [
        ({"is_async": True}, {}, "loop", "it is a coroutine"),
        ({"is_async": True}, {"loop": "no"}, "thread", "the loop lane cannot run it"),
        ({}, {}, "thread", "it is a plain function and not marked cpu"),
        ({}, {"thread": "no"}, "interpreter", "the thread lane cannot run it"),
        ({}, {"thread": "no", "interpreter": "no"}, "process", "no other lane can run it"),
        ({"cpu": True}, {}, "interpreter", "its code loads in an isolated interpreter"),
        ({"cpu": True}, {"interpreter": "numpy says no"}, "process", "numpy says no"),
        ({"cpu": True}, {"interpreter": "no", "process": "no"}, "thread", "no isolated lane can run it"),
        ({"lane": "process"}, {}, "process", "the task asks for it"),
    ],
)
def test_lane_follows_from_facts_with_its_reason(
    options: dict[str, Any], refusals: dict[str, str], lane: str, reason: str
) -> None:
    choice = choose(spec(**options), facts(**refusals))
    assert (choice.lane, choice.refused) == (lane, None)
    assert reason in choice.reason


@pytest.mark.parametrize(
    ("options", "refusals", "instead"),
    [
        ({"lane": "loop"}, {"loop": "no coroutine"}, "thread"),
        ({"lane": "loop"}, {"loop": "no coroutine", "thread": "no"}, "interpreter"),
        ({"lane": "loop", "cpu": True}, {"loop": "no coroutine"}, "interpreter"),
        ({"lane": "interpreter"}, {"interpreter": "no"}, "process"),
        ({"lane": "thread", "is_async": True}, {"thread": "no"}, "loop"),
        ({"lane": "celery"}, {"celery": "no broker"}, "interpreter"),
        ({"lane": "moon"}, {}, "interpreter"),
    ],
)
def test_wish_that_cannot_be_is_refused_with_the_alternative_or_falls_back_to_it(
    options: dict[str, Any], refusals: dict[str, str], instead: str
) -> None:
    refused = choose(spec(**options), facts(**refusals)).refused
    assert refused is not None
    assert f"use lane={instead!r}, or fallback=True" in refused
    taken = choose(spec(fallback=True, **options), facts(**refusals))
    assert (taken.lane, taken.refused) == (instead, None)


def test_task_that_nothing_can_run_is_refused_with_every_reason() -> None:
    nothing = {lane: f"{lane} says no" for lane in ALL}
    for wish in ({}, {"lane": "thread", "fallback": True}):
        refused = choose(spec(**wish), facts(**nothing)).refused
        assert refused is not None
        assert "thread says no" in refused
