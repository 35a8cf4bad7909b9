"""Secrets do not get into log lines."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laneway.observe._redaction import HIDDEN, Redaction

HIDES = Redaction(["password", "token", "api_key"])
SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "text",
    [
        f"password={SECRET}",
        f"PASSWORD = {SECRET}",
        f'{{"password": "{SECRET}"}}',
        f"{{'token': '{SECRET}', 'n': 1}}",
        f"token: {SECRET}",
        f"Api-Key: {SECRET}",
        f"api_key={SECRET}&n=1",
        f"token=Bearer {SECRET}",
        f"https://host/?user=a&token={SECRET}#top",
        f'password="with a space {SECRET}"',
    ],
)
def test_values_after_a_key_are_blotted_out_of_texts(text: str) -> None:
    cleaned = HIDES.text(text)
    assert SECRET not in cleaned
    assert HIDDEN in cleaned


@pytest.mark.parametrize("text", ["the password is long", "tokens=3", "mypassword=3", "password", "n=1 m=2"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert HIDES.text(text) == text


VALUES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["password", "Token", "API-KEY", "user", "n"]), inner, max_size=3),
    ),
    max_leaves=20,
)


def kept(value: Any) -> list[Any]:
    """What stands under secret keys."""
    if isinstance(value, dict):
        found = [one for key, one in value.items() if key in ("password", "Token", "API-KEY")]
        return found + [more for key, one in value.items() if key in ("user", "n") for more in kept(one)]
    if isinstance(value, list):
        return [more for one in value for more in kept(one)]
    return []


@given(VALUES)
def test_nothing_under_a_secret_key_is_left_however_deep(value: Any) -> None:
    assert all(one == HIDDEN for one in kept(HIDES.value(value)))


def test_without_keys_nothing_is_touched() -> None:
    nothing = Redaction([" ", ""])
    assert not nothing
    assert nothing.text("password=1") == "password=1"


def test_what_is_too_deep_to_look_at_is_hidden() -> None:
    deep: Any = {"password": SECRET}
    for _ in range(50):
        deep = [deep]
    assert SECRET not in str(HIDES.value(deep))
