"""The engine's capability gate: which native modules of a unit cannot load in an isolated interpreter. Cheap to import.

For a package the files in its `src/` and `vendor/` count; for a module of the running program what it has imported.
Answers come from the modules' own declarations, read in a disposable child process, and are kept by file, size, time
of change and interpreter build.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from laneway.compat._native import is_native, module_of

__all__ = ["CapabilityGate", "Gated", "UnitLike"]

_OWN = ("laneway",)
_MOST_MODULES = 20_000


class UnitLike(NamedTuple):
    """What the gate needs to know about a unit; see `laneway.ports.Unit`."""

    key: str
    kind: str
    entry: str
    paths: tuple[str, ...]


class Gated(NamedTuple):
    """Native modules that an interpreter refuses: `needed` without a way round, `optional` with one in the code."""

    needed: tuple[tuple[str, str], ...]
    """Module and reason."""
    optional: tuple[tuple[str, str], ...]

    def refusal(self, *, strictly: bool) -> str | None:
        """The reason in words, or None; `strictly` counts what the code can do without as well."""
        found = [*self.needed, *(self.optional if strictly else ())]
        if not found:
            return None
        module, reason = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return f"its native module {module}{more} cannot load in an isolated interpreter: {reason}"


_NOTHING = Gated((), ())


class CapabilityGate:
    """Remembers the answer for each unit. Asking about code without native modules costs a look at its files."""

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder
        self._known: dict[str, Gated] = {}

    def look(self, unit: UnitLike) -> Gated:
        """Find out, or say again. Runs a child process only for native files that are new."""
        known = self._known.get(unit.key)
        if known is None:
            files = _packaged(unit.paths) if unit.kind == "package" else _imported(unit.entry)
            known = self._known[unit.key] = self._answer(files) if files else _NOTHING
        return known

    def _answer(self, files: Mapping[str, str]) -> Gated:
        stamp = sha256(sys.version.encode())
        for path in sorted(files):
            with suppress(OSError):
                status = os.stat(path)
                stamp.update(
                    f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape")
                )
        folder = self._folder or str(import_module("laneway.compat.cache").cache_folder())
        kept = os.path.join(folder, "gate", f"{stamp.hexdigest()[:40]}.json")
        with suppress(OSError, ValueError, KeyError, TypeError), open(kept, encoding="utf-8") as file:
            found = json.load(file)
            return Gated(_pairs(found["needed"]), _pairs(found["optional"]))
        answer: Gated = import_module("laneway.compat._gate_probe").ask(files)
        with suppress(OSError):
            os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
            temporary = f"{kept}.{os.getpid()}"
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(answer._asdict(), file)
            os.replace(temporary, kept)
        return answer


def _pairs(rows: Iterable[Iterable[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((str(module), str(reason)) for module, reason in rows)


def _packaged(paths: Iterable[str]) -> dict[str, str]:
    """Native modules in a package's folders, by file."""
    found: dict[str, str] = {}
    for root in paths:
        for folder, names, files in os.walk(root):
            if "__pycache__" in names:
                names.remove("__pycache__")
            for name in files:
                path = os.path.join(folder, name)
                relative = os.path.relpath(path, root).replace(os.sep, "/")
                module = module_of(relative) if is_native(relative) else None
                if module is not None:
                    found[path] = module
    return found


def _imported(entry: str) -> dict[str, str]:
    """Native modules that a module of this program has brought in, by file. Nothing is imported for this."""
    first = sys.modules.get("__main__" if os.sep in entry or entry.endswith(".py") else entry)
    if first is None:
        return {}
    tops: set[str] = set()
    natives: dict[str, list[tuple[str, str]]] = {}
    members: dict[str, list[ModuleType]] = {}
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        members.setdefault(top, []).append(module)
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and is_native(file):
            natives.setdefault(top, []).append((file, name))
    waiting = [first]
    seen = 0
    while waiting and seen < _MOST_MODULES:
        seen += 1
        for top in _used(waiting.pop()):
            if top not in tops and top in members and top not in sys.stdlib_module_names and top not in _OWN:
                tops.add(top)
                waiting += members[top]
    return {file: name for top in tops for file, name in natives.get(top, ())}


def _used(module: ModuleType) -> set[str]:
    """The top-level packages that a module's globals come from."""
    found: set[str] = set()
    for value in list(getattr(module, "__dict__", {}).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str):
            found.add(name.partition(".")[0])
    return found
