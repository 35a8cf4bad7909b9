"""The audit log's format: canonical lines, each hashed with the one before, and what a broken chain looks like."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple, cast

import msgspec

__all__ = ["START", "Head", "Problem", "check_line", "line_of"]

START = "0" * 64
"""What the first line has instead of a line before it."""

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


class Head(NamedTuple):
    """How far the log goes: its last line's number and hash, the file that holds it, and where that file ends."""

    seq: int
    hash: str
    file: int
    size: int


class Problem(NamedTuple):
    """Where the log is not what was written."""

    file: str
    line: int
    """Counted from 1 in its file; 0 for the file as a whole."""
    reason: str


def line_of(entry: dict[str, Any], seq: int, before: str) -> tuple[bytes, str]:
    """The line for an entry, and its hash: SHA-256 over the hash before it and the canonical entry."""
    body = {**entry, "seq": seq, "prev": before}
    digest = sha256(before.encode() + _encode(body)).hexdigest()
    return _encode({**body, "hash": digest}) + b"\n", digest


def check_line(line: bytes, seq: int, before: str) -> tuple[str, dict[str, Any] | None, str]:
    """Whether a line is number `seq` after a line with the hash `before`.

    Returns:
        Why it is not (empty if it is), the entry where it can be read, and its hash.
    """
    if not line.endswith(b"\n"):
        return "the line is cut off", None, ""
    try:
        found: Any = _decode(line)
    except msgspec.DecodeError, UnicodeDecodeError, RecursionError:
        return "the line is not JSON", None, ""
    if not isinstance(found, dict):
        return "the line is no entry", None, ""
    entry = cast("dict[str, Any]", found)
    if not isinstance(entry.get("hash"), str):
        return "the line is no entry", None, ""
    if _encode(entry) + b"\n" != line:
        return "the line was written differently", entry, entry["hash"]
    body = {key: value for key, value in entry.items() if key != "hash"}
    if sha256(str(body.get("prev")).encode() + _encode(body)).hexdigest() != entry["hash"]:
        return "the entry was changed", entry, entry["hash"]
    if body.get("prev") != before or body.get("seq") != seq:
        return (
            f"entry {body.get('seq')} stands where {seq} should: lines are missing or moved",
            entry,
            entry["hash"],
        )
    return "", entry, entry["hash"]


def lines_of(data: bytes) -> Iterable[bytes]:
    """The lines of a file, each with its end; the last perhaps without."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at) + 1 or len(data)
        yield data[at:end]
        at = end
