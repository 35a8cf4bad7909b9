"""The review's thread-safety rules: what they report and, at greater length, what they leave alone."""

# ruff: noqa: E501 - each program stays on one line, so that the table can be read

import pytest

from laneway.compat.review import review_source
from laneway.compat.review_rules import RULES


def rules_in(source: str, path: str = "module.py") -> list[str]:
    return [finding.rule for finding in review_source(source, path, select=frozenset(RULES))]


@pytest.mark.parametrize(
    ("source", "rules"),
    [
        ("X = None\ndef f():\n    global X\n    if not X:\n        X = make()\n    return X\n", ["FT202"]),
        (
            "X = None\ndef f():\n    global X\n    if X is not None:\n        return X\n    X = make()\n    return X\n",
            ["FT202"],
        ),
        ("X = 0\ndef f():\n    global X\n    X = X + 1\n", ["FT203"]),
        ("X = 0\ndef f():\n    def g():\n        global X\n        X += 1\n    return g\n", ["FT203"]),
        (
            "C = {}\ndef f(k):\n    try:\n        return C[k]\n    except KeyError:\n        v = C[k] = make(k)\n        return v\n",
            ["FT204"],
        ),
        (
            "C = dict()\ndef f(k):\n    v = C.get(k)\n    if v is None:\n        v = C[k] = make(k)\n    return v\n",
            ["FT204"],
        ),
        (
            "C = {}\ndef f(k):\n    if k in C:\n        return C[k]\n    C[k] = make(k)\n    return C[k]\n",
            ["FT204"],
        ),
        ("import collections\nC = collections.defaultdict(int)\ndef f(k):\n    C[k] += 1\n", ["FT205"]),
        ("C = {}\ndef f(k):\n    C[k] = C.get(k, 0) + 1\n", ["FT205"]),
        (
            "S = set()\ndef add(x):\n    S.add(x)\ndef show():\n    return [x for x in S]\n",
            ["FT208"],
        ),
        (
            "class Node:\n    seen = {}\n    def f(self, k):\n        if k not in self.seen:\n            self.seen[k] = make(k)\n",
            ["FT207"],
        ),
        (
            "import threading\nclass W(threading.Thread):\n    def run(self):\n        self.n += 1\n"
            "    def add(self):\n        self.n += 1\n",
            ["FT206", "FT206"],
        ),
        (
            "from threading import Thread\nclass W:\n    def start(self):\n        Thread(target=self.work).start()\n"
            "    def work(self):\n        self.n += 1\n    def reset(self):\n        self.n = 0\n",
            ["FT206"],
        ),
    ],
)
def test_hazards_are_reported(source: str, rules: list[str]) -> None:
    assert rules_in(source) == rules


@pytest.mark.parametrize(
    "source",
    [
        "NAMES = ['a', 'b']\nTABLE = {'a': 1}\ndef f(x):\n    return TABLE[x], [n for n in NAMES]\n",
        "TABLE = {}\nfor x in range(9):\n    TABLE[x] = x\ndef f(x):\n    return TABLE[x]\n",
        "TABLE = {}\ndef _fill():\n    TABLE['a'] = 1\n    TABLE.pop('b', None)\n_fill()\n",
        "REG = {}\ndef register(f):\n    REG[f.__name__] = f\n    return f\n",
        "X = None\ndef f():\n    X = None\n    if X is None:\n        X = make()\n    return X\n",
        "X = []\ndef f(X):\n    X.append(1)\n    X.clear()\n",
        "X = []\ndef f():\n    X = []\n    X.append(1)\n    X.clear()\n",
        "import threading\nC = {}\nL = threading.Lock()\n_lock = L\ndef f(k):\n    with _lock:\n        if k not in C:\n            C[k] = make(k)\n",
        "C = {}\ndef f(k):\n    _lock.acquire()\n    try:\n        C[k] += 1\n    finally:\n        _lock.release()\n",
        "X = None\ndef f():\n    global X\n    if X is None:\n        with _LOCK:\n            if X is None:\n                X = make()\n    return X\n",
        "C = {}\ndef _get(k):\n    if k not in C:\n        C[k] = make(k)\ndef get(k):\n    with LOCK:\n        return _get(k)\n",
        "C = {}\ndef get_locked(k):\n    if k not in C:\n        C[k] = make(k)\n",
        "X = None\ndef f():\n    global X\n    if X is None:\n        X = 5\n    return X\n",
        "X = None\ndef f():\n    global X\n    if X is None:\n        import json\n        X = json\n    return X\n",
        "import re\nX = None\ndef f():\n    global X\n    if X is None:\n        X = re.compile('a')\n    return X\n",
        "DEBUG = False\ndef f(on):\n    global DEBUG\n    DEBUG = on\n",
        "import threading\nX = threading.local()\ndef f():\n    X.n += 1\n",
        "class A:\n    def __init__(self):\n        self.n = 0\n    def f(self):\n        self.n += 1\n",
        "class A:\n    names = {}\n    def __init__(self):\n        self.names = {}\n    def f(self, k):\n        if k not in self.names:\n            self.names[k] = 1\n",
        "class A:\n    def f(self):\n        with self._lock:\n            self._g()\n    def _g(self):\n        self.n += 1\n    def h(self):\n        with self._lock:\n            self.n = 0\n",
        "class A:\n    async def f(self):\n        self.n += 1\n    async def g(self):\n        async with self.lock:\n            self.n += 1\n",
        "S = {}\ndef add(k):\n    S[k] = 1\ndef show():\n    for k in list(S):\n        print(k)\n    for k in sorted(S.items()):\n        print(k)\n",
        "N = 0\nif __name__ == '__main__':\n    def go():\n        global N\n        N += 1\n    go()\n",
        "N = 0\ndef main():\n    global N\n    N += 1\n",
    ],
)
def test_harmless_code_is_not_reported(source: str) -> None:
    assert rules_in(source) == []


@pytest.mark.parametrize("path", ["tests/a.py", "pkg/test_a.py", "conftest.py", "pkg\\tests\\a.py"])
def test_test_code_is_not_reviewed_for_threads(path: str) -> None:
    assert rules_in("N = 0\ndef f():\n    global N\n    N += 1\n", path) == []


def test_shared_state_is_reported_once_at_its_definition() -> None:
    source = "X = []\n\n\ndef a():\n    X.append(1)\n\n\ndef b():\n    X.pop()\n\n\ndef c():\n    X.clear()\n"
    (finding,) = review_source(source, "m.py", select=frozenset({"FT201"}))
    assert (finding.rule, finding.line) == ("FT201", 1)
    assert finding.message == "module-level list X is changed without a lock in a(), b(), c()"


def test_a_decorated_method_with_a_lock_in_its_name_counts_as_locked() -> None:
    assert rules_in("C = {}\n@synchronized\ndef f(k):\n    C[k] += 1\n") == []
