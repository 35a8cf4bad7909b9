"""The frames between an engine and its workers: fixed headers, then JSON bytes. Standard library only."""

from struct import Struct

__all__ = [
    "ABOUT",
    "ASK",
    "CONTROL",
    "DESCRIBE",
    "DESCRIBED",
    "DRAIN",
    "DUMP",
    "INTERRUPT",
    "KINDS",
    "LOADED",
    "LOAD_FAILED",
    "LOGGED",
    "NUMBERS",
    "ORDER",
    "PING",
    "REGISTER",
    "REPLY",
    "RUN",
    "SPENT",
]

ORDER = Struct("<BxHII")
"""Engine to worker: frame type, task number, order number, bytes that follow."""
RUN, REGISTER, DESCRIBE = 1, 2, 3
ABOUT = 4
"""The metadata of the orders that follow, until the next such frame."""

REPLY = Struct("<BBHIIIdd")
"""Worker to engine: kind, flags, bytes of refusals, order number, bytes that follow (the refusals last), bytes printed,
started (epoch), duration."""
SPENT = 1
"""Flag: the worker ends after this reply and must be replaced."""
LOGGED = 2
"""Flag: the attempt logged something, which is in the log pipe."""

KINDS = {1: "value", 2: "patch", 3: "failure", 4: "skipped", 5: "suspension", 6: "stopped"}
NUMBERS = {name: number for number, name in KINDS.items()}
LOADED, LOAD_FAILED, DESCRIBED = 10, 11, 12

CONTROL = Struct("<BxxxI")
"""Engine to watchdog: what to do and the order it is about. Watchdog to engine: what it answers, bytes that follow."""
ASK, INTERRUPT, PING, DUMP, DRAIN = 1, 2, 3, 4, 5
