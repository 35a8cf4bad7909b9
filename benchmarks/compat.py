"""How long probing takes: the running environment cold and warm, and the capability gate on code without natives.

    python -m benchmarks.compat [--uv PATH]

Aims: an environment of 100 distributions cold in under 3 minutes on 2 cores, warm in under 5 s; the gate under 1 ms.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from laneway.compat.gate import CapabilityGate, UnitLike

_ROUNDS = 100


def compat(cache: str, *options: str) -> tuple[float, int]:
    """Seconds and distributions of one run of the command."""
    began = time.perf_counter()
    outcome = subprocess.run(
        [sys.executable, "-m", "laneway", "compat", "--json", *options],
        env={**os.environ, "XDG_CACHE_HOME": cache},
        stdout=subprocess.PIPE,
        check=True,
    )
    return time.perf_counter() - began, len(json.loads(outcome.stdout)["rows"])


def gate() -> float:
    """Milliseconds for a module of this program that has no native modules; the median of many."""
    times: list[float] = []
    for _ in range(_ROUNDS):
        fresh = CapabilityGate()
        began = time.perf_counter()
        fresh.look(UnitLike("bench", "module", "argparse", ()))
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)[_ROUNDS // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", help="the uv to ask for the configured indexes")
    uv = parser.parse_args().uv
    options = ("--uv", uv) if uv else ("--offline",)
    with tempfile.TemporaryDirectory() as cache:
        cold, count = compat(cache, *options)
        warm, _ = compat(cache, *options)
    print(f"distributions {count}  cold {cold:.1f} s  warm {warm:.1f} s  gate {gate():.3f} ms")


if __name__ == "__main__":
    main()
