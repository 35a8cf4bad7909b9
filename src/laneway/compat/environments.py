"""Interpreters to probe with: what they are and what is on their search path."""

import functools
import subprocess
import sys
import sysconfig
from ast import literal_eval
from pathlib import Path

import msgspec

from laneway.compat.errors import InterpreterUnusable

__all__ = ["Environment", "environment_of"]

_OLDEST = (3, 14)
_ASK = """
import sys, sysconfig
print(repr({
    "executable": sys.executable, "prefix": sys.prefix, "version": list(sys.version_info[:3]),
    "path": [one for one in sys.path if one], "soabi": sysconfig.get_config_var("SOABI") or "",
    "free": bool(sysconfig.get_config_var("Py_GIL_DISABLED")), "build": list(__import__("platform").python_build()),
}))
"""


class Environment(msgspec.Struct, frozen=True):
    """One interpreter with its search path."""

    interpreter: str
    version: tuple[int, int, int]
    path: tuple[str, ...]
    soabi: str
    is_free_threaded: bool
    build: str
    """Identifies the build: results of one build are not taken for another's."""

    @property
    def label(self) -> str:
        """For people: `Python 3.14.10` or `Python 3.14.7 free-threaded`."""
        version = ".".join(map(str, self.version))
        return f"Python {version}{' free-threaded' if self.is_free_threaded else ''}"

    @property
    def tag(self) -> str:
        """As in wheel names: `cp314` or `cp314t`."""
        return f"cp{self.version[0]}{self.version[1]}{'t' if self.is_free_threaded else ''}"


def environment_of(given: str | None = None) -> Environment:
    """The running interpreter, or that of another environment (its folder or its `python`).

    Raises:
        InterpreterUnusable: it cannot be run, or is older than 3.14.
    """
    if given is None:
        return _environment(_facts_here())
    path = Path(given).expanduser()
    program = path / "bin" / "python" if path.is_dir() else path
    try:
        outcome = subprocess.run(
            [str(program), "-I", "-c", _ASK], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterpreterUnusable(
            interpreter=given, reason=str(error), advice="Give the path of a Python 3.14 or later"
        ) from error
    if outcome.returncode:
        said = (outcome.stderr or outcome.stdout).strip().splitlines()
        raise InterpreterUnusable(
            interpreter=given, reason=said[-1] if said else "it fails", advice="Is it a Python?"
        )
    try:
        return _environment(literal_eval(outcome.stdout.strip().splitlines()[-1]), given)
    except (ValueError, SyntaxError, KeyError, IndexError) as error:
        raise InterpreterUnusable(
            interpreter=given, reason="it does not answer like a Python", advice="Give a Python 3.14 or later"
        ) from error


@functools.cache
def _facts_here() -> dict[str, object]:
    return {
        "executable": sys.executable,
        "prefix": sys.prefix,
        "version": list(sys.version_info[:3]),
        "path": [one for one in sys.path if one],
        "soabi": sysconfig.get_config_var("SOABI") or "",
        "free": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "build": [sys.version],
    }


def _environment(facts: dict[str, object], given: str = "") -> Environment:
    version = msgspec.convert(facts["version"], tuple[int, int, int])
    if version < _OLDEST:
        raise InterpreterUnusable(
            interpreter=given,
            reason=f"it is Python {'.'.join(map(str, version))}",
            advice="Isolated interpreters are probed with Python 3.14 or later",
        )
    path = tuple(str(Path(one).absolute()) for one in msgspec.convert(facts["path"], list[str]))
    build = "-".join(map(str, msgspec.convert(facts["build"], list[str])))
    return Environment(
        str(facts["executable"]), version, path, str(facts["soabi"]), bool(facts["free"]),
        f"{'.'.join(map(str, version))} {facts['soabi']} {build}",
    )  # fmt: skip
