"""What JSON can hold passes and comes back the same; what it cannot is refused with its path."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laneway._core.context import decode_object, encode_object, join_object, same_json
from laneway._core.errors import JsonInvalid
from laneway._core.jsonvalue import check, same

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=20,
)
_OBJECTS = st.dictionaries(st.text(), _VALUES, max_size=5)
_BAD = st.sampled_from(
    [
        float("nan"),
        float("inf"),
        b"bytes",
        {1, 2},
        (1, 2),
        date(2026, 1, 1),
        "\ud800",
        {1: "key"},
        10**5000,
        object(),
        range(3),
    ]
)


@given(_OBJECTS)
def test_what_passes_comes_back_exactly(value: dict[str, Any]) -> None:
    check(value, "value")
    encoded = encode_object(value)
    assert same(json.loads(encoded), value)
    assert same(json.loads(join_object(decode_object(encoded))), value)


@given(_VALUES, st.lists(st.one_of(st.integers(0, 3), st.text(max_size=3)), max_size=4), _BAD)
def test_a_bad_value_anywhere_is_refused_by_its_path(value: Any, path: list[int | str], bad: Any) -> None:
    built: Any = bad
    for part in reversed(path):
        built = [*[None] * part, built] if isinstance(part, int) else {"before": value, part: built}
    with pytest.raises(JsonInvalid) as caught:
        check(built, "root")
    found: Any = {"root": built}["root"]
    shown = "root"
    for part in path:
        shown += (
            f"[{part}]" if isinstance(part, int) else f".{part}" if part.isidentifier() else f"[{part!r}]"
        )
        found = found[part]
    assert caught.value.fields["path"] == shown
    assert "\n" not in str(caught.value) or "\n" in shown


@given(_VALUES, _VALUES)
def test_equality_as_json_is_strict_about_types(one: Any, other: Any) -> None:
    left, right = encode_object({"v": one})[5:-1], encode_object({"v": other})[5:-1]
    assert same_json(left, right) == same(one, other)


def test_one_true_and_one_point_zero_are_three_values() -> None:
    assert not same_json(b"1", b"true")
    assert not same_json(b"1", b"1.0")
    assert same_json(b'{"a":1,"b":2}', b'{"b":2,"a":1}')
