"""What JSON can hold, exactly."""

import collections
import datetime
import enum
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laneway._core.errors import JsonInvalid
from laneway._core.jsonvalue import MAX_DEPTH, check, has_wide_integer, same
from laneway._core.model import TaskSpec
from laneway.lanes import _codec, _reply

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.tuples(st.integers()),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.sets(st.integers())
    ),
    max_leaves=20,
)


def faithful(value: Any) -> bool:
    """Whether a value survives JSON exactly, by another way: encode strictly, decode, compare with types."""
    try:
        back = json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except TypeError, ValueError:
        return False
    return identical(value, back)


def identical(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(identical, one, other, strict=True))
    return bool(one == other)


@given(anything)
def test_check_passes_exactly_what_survives_json(value: Any) -> None:
    if faithful(value):
        check(value, "result")
    else:
        with pytest.raises(JsonInvalid):
            check(value, "result")


@given(plain)
def test_both_codecs_write_the_same_bytes_and_read_them_back(value: Any) -> None:
    inside, host = _reply.encode(value, "result"), _codec.encode(value, "result")
    assert identical(_reply.decode(inside), value)
    assert identical(_reply.decode(host), value)
    assert identical(_codec.decode(inside), value)


@given(
    st.text(min_size=101, max_size=150),
    st.sampled_from(["", '"', "\\", "\n", "\x00", "\x1f", "\x7f", "é", "😀"]),
)
def test_both_codecs_write_the_same_bytes_for_long_texts(text: str, special: str) -> None:
    value = text + special + text
    inside = _reply.encode(value, "result")
    assert inside == _codec.encode(value, "result")
    assert _reply.decode(inside) == value


def test_lone_surrogates_in_long_texts_become_escapes() -> None:
    assert _reply.plain("x" * 200 + "\ud800") == b'"' + b"x" * 200 + b'\\ud800"'


@given(plain, plain)
def test_same_is_equality_with_types(one: Any, other: Any) -> None:
    assert same(one, one)
    assert same(one, other) == same(other, one)
    assert same(one, other) == (
        json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    ) or "0.0" in str((one, other))


class Colour(enum.StrEnum):
    RED = "red"


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "path", "what", "advice"),
    [
        ((1, 2), "result", "a tuple", "list("),
        (
            {"a": [0, {"when": datetime.datetime(2026, 1, 1)}]},
            "result.a[1].when",
            "a datetime",
            ".isoformat()",
        ),
        ({"a b": {1}}, "result['a b']", "a set", "sorted("),
        ([math.nan], "result[0]", "nan", "None"),
        ([math.inf], "result[0]", "inf", "None"),
        (b"x", "result", "bytes", "base64"),
        ({1: 2}, "result", "key 1 of type int", "str(key)"),
        (collections.Counter("a"), "result", "a Counter (a subclass of dict)", "dict("),
        (collections.OrderedDict(), "result", "an OrderedDict", "dict("),
        ([Text("x")], "result[0]", "a Text (a subclass of str)", "str("),
        ([Colour.RED], "result[0]", "a Colour", ".value"),
        ("\ud800", "result", "lone surrogates", "errors="),
        ({"\ud800": 1}, "result", "lone surrogates", "errors="),
        pytest.param(10**5000, "result", "an integer of", "str(", id="huge integer"),
        (object(), "result", "an object", "artifact"),
    ],
)
def test_culprit_is_named_with_path_kind_and_way_out(value: Any, path: str, what: str, advice: str) -> None:
    with pytest.raises(JsonInvalid) as caught:
        check(value, "result")
    assert caught.value.fields["path"] == path
    assert what in caught.value.fields["what"]
    assert advice in caught.value.fields["advice"]


def test_depth_is_limited_and_a_loop_is_found() -> None:
    deep: Any = 0
    for _ in range(MAX_DEPTH):
        deep = [deep]
    check(deep, "result")
    with pytest.raises(JsonInvalid, match="nested deeper than 500"):
        check([deep], "result")
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(JsonInvalid, match="contains itself"):
        check(loop, "result")


def test_integers_beyond_64_bits_are_seen() -> None:
    assert not has_wide_integer({"a": [2**63 - 1, -(2**63)]}, "result")
    assert has_wide_integer({"a": [2**63]}, "result")
    assert has_wide_integer(2**64, "result")


def test_misbehaving_repr_does_not_hide_the_culprit() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError

        def __hash__(self) -> int:
            return 1

    with pytest.raises(JsonInvalid, match=r"key \? of type Rude"):
        check({Rude(): 1}, "result")


def test_every_field_of_a_task_survives_its_description() -> None:
    spec = TaskSpec(id="one", reference="module:one", optional=("x",), parameters=("x",), asks=("y",))
    check(spec.described(), "task")
    assert TaskSpec.from_described(json.loads(json.dumps(spec.described()))) == spec
    assert TaskSpec.from_described({"id": "one", "reference": "module:one"}) == TaskSpec("one", "module:one")
