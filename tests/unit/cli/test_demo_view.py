"""What the demo says of its own speed: a figure that cannot be true is called so."""

import os

import pytest

from laneway.cli._demo_parts import Comparison
from laneway.cli._demo_view import _speedup


@pytest.mark.parametrize(
    ("inline", "load", "doubt"),
    [
        (15.0, 1.0, ""),
        (15.0, 9.0, "other programs were using these cores (load 9.0)"),
        (25.0, 1.0, "more than these cores can give"),
    ],
)
def test_a_doubtful_comparison_says_so(
    monkeypatch: pytest.MonkeyPatch, inline: float, load: float, doubt: str
) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 2)
    *lines, last = [line.plain for line in _speedup(Comparison(1000, 10.0, 200, 2.0, inline, load))]
    if doubt:
        assert doubt in last
        assert last.endswith("so take that with care")
    else:
        assert last == "  speed-up: 1.50 times on 2 cores"
    assert any(f"{inline / 10:.2f} times" in line for line in [*lines, last])
