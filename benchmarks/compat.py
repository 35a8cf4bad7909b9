"""How long probing takes: the running environment cold and warm, and the capability gate on code without natives.

    python -m benchmarks.compat [--uv PATH] [--against KNOWN.json --folder DIR [--only NAME...]]

`--against` installs the versions that a file of known answers lists, each with what it needs into a folder of its own
below DIR (they stay there for the next time), probes them, and names every answer that differs. The file has `packages`
with `name`, `version` and `isolated_interpreter.status` (yes, fallback, no, env-error).

Aims: an environment of 100 distributions cold in under 3 minutes on 2 cores, warm in under 5 s; the gate under 1 ms.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from laneway._core.compat import judge_interpreter
from laneway.compat._uv import Uv, find_uv
from laneway.compat.distributions import installed_in, owners_of
from laneway.compat.gate import CapabilityGate, UnitLike
from laneway.compat.probe import Where, probe

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


_ANSWERS = {"loads": "yes", "refused": "no", "broken": "no"}


def against(known: Path, folder: Path, uv: Uv, only: Sequence[str]) -> None:
    """Probe what the file lists and compare."""
    packages: list[dict[str, Any]] = json.loads(known.read_bytes())["packages"]
    standard = tuple(one for one in sys.path if one and "site-packages" not in one)
    same = count = 0
    seconds: list[float] = []
    for one in packages:
        name = one["name"]
        if only and name not in only:
            continue
        target = folder / name
        if not target.is_dir():
            wanted = f"{name}=={one['version']}"
            options = ["--quiet", "--no-build", "--python", sys.executable, "--target", str(target)]
            status, _, said = uv.run(["pip", "install", wanted, *options])
            if status:
                print(f"{name}: not installed: {said.splitlines()[-1] if said else ''}")
                continue
        found = {each.name: each for each in installed_in([str(target)])}
        if name not in found:
            print(f"{name}: not there after installing it")
            continue
        where = Where(sys.executable, (str(target), *standard), "benchmark", owners_of(found.values()))
        result = probe(found[name], where)
        verdict = judge_interpreter(result)
        answer, expected = _ANSWERS.get(verdict.answer, verdict.answer), one["isolated_interpreter"]["status"]
        count += 1
        same += answer == expected
        seconds.append(result.seconds)
        if answer != expected:
            print(f"{name} {one['version']}: {expected} before, {answer} now: {verdict.reason}")
    seconds.sort()
    print(f"{same} of {count} the same; {sum(seconds):.0f} s, the median {seconds[len(seconds) // 2]:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", help="the uv to ask for the configured indexes")
    parser.add_argument("--against", type=Path, help="a file of known answers to compare with")
    parser.add_argument("--folder", type=Path, help="where to install what that file lists")
    parser.add_argument("--only", nargs="*", default=[], help="only these of them")
    given = parser.parse_args()
    uv = given.uv
    if given.against is not None:
        program = Path(uv) if uv else find_uv()
        if program is None or given.folder is None:
            parser.error("--against needs --folder, and uv")
        against(given.against, given.folder, Uv(program), given.only)
        return
    options = ("--uv", uv) if uv else ("--offline",)
    with tempfile.TemporaryDirectory() as cache:
        cold, count = compat(cache, *options)
        warm, _ = compat(cache, *options)
    print(f"distributions {count}  cold {cold:.1f} s  warm {warm:.1f} s  gate {gate():.3f} ms")


if __name__ == "__main__":
    main()
