"""For each rule of the source review: code it reports, and the same code put right."""

__all__ = ["EXAMPLES"]

EXAMPLES: dict[str, tuple[str, str]] = {
    "PY100": (
        """\
def f(:
    pass
""",
        """\
def f():
    pass
""",
    ),
    "PY101": (
        """\
import telnetlib
""",
        """\
import telnetlib3
""",
    ),
    "PY102": (
        """\
import ast

is_number = isinstance(node, ast.Num)
""",
        """\
import ast

is_number = isinstance(node, ast.Constant)
""",
    ),
    "PY103": (
        """\
import sre_parse
""",
        """\
import re
""",
    ),
    "PY104": (
        """\
import asyncio

asyncio.set_event_loop_policy(None)
""",
        """\
import asyncio

asyncio.run(main(), loop_factory=factory)
""",
    ),
    "PY105": (
        """\
from datetime import datetime

now = datetime.utcnow()
""",
        """\
from datetime import UTC, datetime

now = datetime.now(tz=UTC)
""",
    ),
    "PY106": (
        """\
import unittest


class T(unittest.TestCase):
    def test_a(self):
        self.assertEquals(1, 1)
""",
        """\
import unittest


class T(unittest.TestCase):
    def test_a(self):
        self.assertEqual(1, 1)
""",
    ),
    "PY107": (
        """\
from typing import NamedTuple

Point = NamedTuple("Point", x=int, y=int)
""",
        """\
from typing import NamedTuple

Point = NamedTuple("Point", [("x", int), ("y", int)])
""",
    ),
    "PY108": (
        """\
def f():
    try:
        g()
    finally:
        return 1
""",
        """\
def f():
    try:
        g()
    finally:
        h()
    return 1
""",
    ),
    "PY109": (
        """\
from __future__ import annotations
""",
        """\
import os
""",
    ),
    "PY110": (
        """\
import asyncio

asyncio.get_event_loop().run_until_complete(main())
""",
        """\
import asyncio

asyncio.run(main())
""",
    ),
    "PY111": (
        """\
import multiprocessing


def f():
    multiprocessing.Process(target=lambda: 1).start()
""",
        """\
import multiprocessing


def f():
    multiprocessing.Process(target=work).start()
""",
    ),
    "PY112": (
        """\
def names(cls):
    return cls.__dict__.get('__annotations__', {})
""",
        """\
import annotationlib


def names(cls):
    return annotationlib.get_annotations(cls)
""",
    ),
    "PY113": (
        """\
def f():
    return not NotImplemented
""",
        """\
def f():
    return NotImplemented
""",
    ),
    "PY114": (
        """\
x = ~(not y)
""",
        """\
x = not (not y)
""",
    ),
    "PY115": (
        r"""pattern = "\d+"
""",
        r"""pattern = r"\d+"
""",
    ),
    "FT201": (
        """\
_SEEN = []


def note(x):
    _SEEN.append(x)
    del _SEEN[:-10]
""",
        """\
import threading

_SEEN = []
_LOCK = threading.Lock()


def note(x):
    with _LOCK:
        _SEEN.append(x)
        del _SEEN[:-10]
""",
    ),
    "FT202": (
        """\
_CLIENT = None


def client():
    global _CLIENT
    if _CLIENT is None:
        _CLIENT = connect()
    return _CLIENT
""",
        """\
import threading

_CLIENT = None
_LOCK = threading.Lock()


def client():
    global _CLIENT
    with _LOCK:
        if _CLIENT is None:
            _CLIENT = connect()
        return _CLIENT
""",
    ),
    "FT203": (
        """\
_COUNT = 0


def hit():
    global _COUNT
    _COUNT += 1
""",
        """\
import itertools

_COUNT = itertools.count()


def hit():
    return next(_COUNT)
""",
    ),
    "FT204": (
        """\
_CACHE = {}


def get(k):
    if k not in _CACHE:
        _CACHE[k] = make(k)
    return _CACHE[k]
""",
        """\
import functools


@functools.cache
def get(k):
    return make(k)
""",
    ),
    "FT205": (
        """\
import collections

_COUNTS = collections.Counter()


def hit(k):
    _COUNTS[k] += 1
""",
        """\
import collections
import threading

_COUNTS = collections.Counter()
_LOCK = threading.Lock()


def hit(k):
    with _LOCK:
        _COUNTS[k] += 1
""",
    ),
    "FT206": (
        """\
import threading


class Pool:
    def __init__(self):
        self.lock = threading.Lock()
        self.n = 0

    def add(self):
        with self.lock:
            self.n += 1

    def drop(self):
        self.n -= 1
""",
        """\
import threading


class Pool:
    def __init__(self):
        self.lock = threading.Lock()
        self.n = 0

    def add(self):
        with self.lock:
            self.n += 1

    def drop(self):
        with self.lock:
            self.n -= 1
""",
    ),
    "FT207": (
        """\
class Node:
    counts = {}

    def hit(self, k):
        self.counts[k] += 1
""",
        """\
class Node:
    def __init__(self):
        self.counts = {}

    def hit(self, k):
        self.counts[k] += 1
""",
    ),
    "FT208": (
        """\
_OPEN = {}


def add(k, v):
    _OPEN[k] = v


def close():
    for v in _OPEN.values():
        v.close()
""",
        """\
_OPEN = {}


def add(k, v):
    _OPEN[k] = v


def close():
    for v in list(_OPEN.values()):
        v.close()
""",
    ),
}
"""Rule id: before, after."""
