"""Frozen records: fields by annotation, compared by value."""

import copy
import inspect
import pickle
from typing import Any

import pytest

from laneway import Retry, TaskSpec
from laneway._core.record import Record


class Point(Record):
    x: int
    y: int = 0


ANY: Any = Point


def test_fields_are_given_by_place_or_name_and_have_defaults() -> None:
    assert (Point(1).x, Point(1).y) == (1, 0)
    assert Point(1, 2) == Point(y=2, x=1)
    assert repr(Point(1)) == "Point(x=1, y=0)"
    assert Retry(5).attempts == 5


def test_signature_shows_the_fields() -> None:
    assert str(inspect.signature(Point)) == "(x, y=0)"
    assert str(inspect.signature(Retry)).startswith("(attempts=3, backoff=0.1, ")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ANY(), "Point needs x"),
        (lambda: ANY(1, 2, 3), "takes 2 values, not 3"),
        (lambda: ANY(1, z=3), "has no field 'z'"),
        (lambda: ANY(1, x=3), "has twice the field 'x'"),
    ],
)
def test_wrong_fields_are_named(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_records_are_frozen_and_replaced() -> None:
    point: Any = Point(1)
    with pytest.raises(AttributeError, match=r"_replace\(x=...\)"):
        point.x = 2
    with pytest.raises(AttributeError):
        del point.x
    assert point._replace(x=2) == copy.replace(point, x=2) == Point(2)
    assert point._asdict() == {"x": 1, "y": 0}


def test_records_are_equal_and_hashable_by_value_and_type() -> None:
    class Other(Record):
        x: int
        y: int = 0

    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert len({Point(1), Point(1), Point(2)}) == 2


def test_records_survive_pickling_and_copying() -> None:
    spec = TaskSpec("one", "module:one", parameters=("x",))
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert copy.deepcopy(spec) == copy.copy(spec) == spec
