"""The log pipe of a worker: records and prints share it, in whatever pieces they arrive."""

import json
import logging
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from laneway.lanes._capture import Capture
from laneway.lanes._relay import LogText, relay


def record(number: int, message: str) -> bytes:
    fields = {
        "number": number,
        "name": "x",
        "level": 30,
        "message": message,
        "at": 1.0,
        "path": "p",
        "line": 1,
        "function": "f",
        "thread": "t",
    }
    return b"\x1e" + json.dumps(fields).encode() + b"\n"


PIECES = st.lists(
    st.one_of(
        st.text(st.characters(codec="utf-8", exclude_characters="\x1e"), max_size=20).map(
            lambda text: ("print", text)
        ),
        st.text(max_size=20).map(lambda text: ("log", text)),
    ),
    max_size=12,
)


@given(PIECES, st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_prints_and_records_come_apart_again_however_they_are_cut(
    pieces: list[tuple[str, str]], sizes: list[int]
) -> None:
    stream = b"".join(
        text.encode() if kind == "print" else record(number, text)
        for number, (kind, text) in enumerate(pieces)
    )
    sorter = LogText()
    found: list[str] = []
    at = 0
    turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        found += [line.message for line in sorter.add(stream[at : at + size])]
        at += size
        turn += 1
    assert found == [text for kind, text in pieces if kind == "log"]
    assert sorter.text.decode() == "".join(text for kind, text in pieces if kind == "print")


def test_what_only_looks_like_a_record_is_text() -> None:
    sorter = LogText()
    assert sorter.add(b"\x1enot json\nmore") == []
    assert sorter.text == b"not json\nmore"


def test_a_print_cannot_begin_a_record() -> None:
    import os

    reading, writing = os.pipe()
    capture = Capture(writing, 1000)
    capture.stream.write("\x1e{}\n")
    assert capture.take() == 4
    assert os.read(reading, 100) == b"?{}\n"
    os.close(reading)
    os.close(writing)


def test_a_record_that_nobody_wants_is_not_made(caplog: Any) -> None:
    (line,) = LogText().add(record(0, "quiet"))
    logging.getLogger("x").setLevel(logging.ERROR)
    try:
        relay(line, None, "", "interpreter-1")
    finally:
        logging.getLogger("x").setLevel(logging.NOTSET)
    assert not caplog.records
    relay(line, None, "", "interpreter-1")
    assert caplog.records[0].getMessage() == "quiet"
    assert caplog.records[0].laneway == {"worker": "interpreter-1"}
