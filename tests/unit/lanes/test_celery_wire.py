"""What crosses the broker: orders, outcomes and words come out as they went in."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from laneway._core.model import TaskSpec
from laneway.lanes._celery_parcel import order_id
from laneway.lanes._celery_wire import (
    Word,
    order_from,
    order_text,
    outcome_from,
    outcome_text,
    queue_of,
    shown,
    word_from,
    word_text,
)
from laneway.ports import Outcome, StepOrder, Unit

UNIT = Unit(
    "package:far@1.0:abc",
    "package",
    "far",
    ("/srv/far/src",),
    ("/engine/only",),
    "far 1.0",
    (("network", False),),
    (("wall_seconds", 2.5), ("tasks.a.output_kib", 1)),
)
TASK = TaskSpec(
    "a",
    "far:a",
    parameters=("x",),
    optional=("x",),
    dependencies=("b",),
    lane="celery",
    cpu=True,
    retries=2,
    retry_on=("timeout",),
    timeout=1.5,
    asks=("x",),
    fingerprint="f" * 64,
)
ORDER = StepOrder(
    UNIT, TASK, '{"x":"é\\u0000\\ud83d\\ude00"}'.encode(), "run", 3, 2, "flow", {"correlation_id": "ü"}
)


def test_every_field_of_an_order_arrives_but_the_engines_own_path() -> None:
    unset = [one.name for one in msgspec.structs.fields(ORDER) if getattr(ORDER, one.name) == one.default]
    assert unset == [], "give the order here a value for each field, so that this test sees it arrive"
    expected = msgspec.structs.replace(ORDER, unit=msgspec.structs.replace(UNIT, inherited=()))
    assert order_from(order_text(ORDER)) == expected


def test_every_field_of_an_outcome_arrives() -> None:
    outcome = Outcome(
        "failure", '{"a":"é"}'.encode(), 1.5, 0.25, "process", "w", "kill", "printed\n", ("open /etc/passwd",)
    )
    unset = [one.name for one in msgspec.structs.fields(outcome) if getattr(outcome, one.name) == one.default]
    assert unset == [], "give the outcome here a value for each field, so that this test sees it arrive"
    assert outcome_from(outcome_text(outcome)) == outcome


@given(st.text(), st.text(), st.lists(st.text(), max_size=3), st.text())
def test_words_arrive_whatever_is_in_them(
    delivery: str, worker: str, deliveries: list[str], text: str
) -> None:
    word = Word("outcome", delivery, worker, deliveries, text)
    assert word_from(word_text(word)) == word


def test_what_is_none_of_ours_is_passed_over() -> None:
    for data in (b"", b"{", b"[]", b'{"kind": 1}', b"\xff"):
        assert word_from(data) is None


def test_tasks_marked_cpu_have_a_queue_of_their_own() -> None:
    assert queue_of(TASK) == "cpu"
    assert queue_of(TASK._replace(cpu=False)) == "io"


def test_an_order_is_named_for_people_and_never_like_another() -> None:
    names = {order_id(ORDER) for _ in range(1000)}
    assert len(names) == 1000
    assert all(name.startswith("run/a[3]/2.") for name in names)


def test_passwords_are_not_shown() -> None:
    assert shown("amqp://me:secret@host:5672/there") == "amqp://me:***@host:5672/there"
    assert shown("redis://:secret@host/0") == "redis://:***@host/0"
    assert shown("redis://host:6379/0") == "redis://host:6379/0"
