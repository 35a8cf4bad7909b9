"""Small decisions about what is shown and how values are read."""

import pytest

from laneway._core.errors import (
    ContextConflict,
    JsonInvalid,
    SettingInvalid,
    StoreUnavailable,
    TargetNotFound,
)
from laneway.cli._errors import status_for, status_of
from laneway.cli._options import JsonUnreadable, context_from
from laneway.cli._screen import ago, clock, counted, seconds, without_controls


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0004, "0.4 ms"),
        (0.012, "12 ms"),
        (0.25, "0.25 s"),
        (3.14159, "3.1 s"),
        (42, "42 s"),
        (100, "1:40"),
        (3700, "1:01:40"),
    ],
)
def test_durations_are_short_and_exact_enough(value: float, text: str) -> None:
    assert seconds(value) == text


def test_counts_and_ages_read_well() -> None:
    assert counted(1, "file") == "1 file"
    assert counted(1617, "file") == "1,617 files"
    assert [ago(one) for one in (-1, 5, 300, 7200, 500_000)] == [
        "0 s ago",
        "5 s ago",
        "5 min ago",
        "2 h ago",
        "6 days ago",
    ]
    assert clock(61.9) == "1:01"


def test_text_from_outside_cannot_drive_the_terminal() -> None:
    assert without_controls("a\x1b[2Jb\tc\nd\r") == "a\ufffd[2Jb\tc\nd\ufffd"


def test_pairs_are_json_or_text_and_the_last_one_counts() -> None:
    pairs = [
        "n=1",
        "text=hello",
        "flag=true",
        "list=[1,2]",
        "empty=",
        "n=2",
        "equation=a=b",
        "half={",
        'quoted="1"',
    ]
    assert context_from(pairs, '{"n": 0, "kept": null}') == {
        "n": 2,
        "kept": None,
        "text": "hello",
        "flag": True,
        "list": [1, 2],
        "empty": "",
        "equation": "a=b",
        "half": "{",
        "quoted": "1",
    }


@pytest.mark.parametrize("pair", ["n", "=1", ""])
def test_a_pair_without_a_key_is_refused(pair: str) -> None:
    with pytest.raises(JsonUnreadable, match="KEY=VALUE"):
        context_from([pair], None)


def test_exit_statuses_follow_the_kind_of_error() -> None:
    usage = [
        TargetNotFound(target="x", reason="y", advice="z"),
        SettingInvalid(setting="s", value=1, reason="r", advice="a"),
        JsonInvalid(path="p", what="w", advice="a"),
        ContextConflict(first="a", second="b", key="k"),
        JsonUnreadable(setting="s", expected="e", reason="r", advice="a"),
    ]
    assert [status_for(one) for one in usage] == [2] * len(usage)
    assert status_for(StoreUnavailable(store="s", reason="r", advice="a")) == 1
    statuses = ("succeeded", "failed", "cancelled", "suspended", "interrupted")
    assert [status_of(one) for one in statuses] == [0, 1, 3, 4, 3]
