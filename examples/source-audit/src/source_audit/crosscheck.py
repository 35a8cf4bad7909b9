"""Imports of all files checked against each other and the interpreter: missing modules, cycles, most imported."""

import importlib.machinery
import sys
import sysconfig
from typing import Any

from laneway.compat.review_names import MODULES

__all__ = ["cross_check"]

type File = dict[str, Any]
type Graph = dict[str, dict[str, int]]

_MOST_MISSING = 50
_MOST_CYCLES = 10
_MOST_IMPORTED = 20
_SHOWN = 6
_ELSEWHERE = frozenset({*sys.stdlib_module_names, *sys.builtin_module_names, *MODULES, "__main__"})
"""Not looked up: the standard library, and what it once had, which the review reports."""
_INSTALLED = [*sys.path, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
"""A worker sees its package's own dependencies only; what this environment has is looked up all the same."""


def cross_check(folder: str, files: list[File]) -> dict[str, Any]:
    """Modules that are imported and not installed here, cycles of imports at the top level, and who is imported most.

    Only top-level names are looked up in the interpreter, without importing anything.
    """
    modules = {_module_of(folder, file["path"]): file for file in files}
    own = {name.partition(".")[0] for name in modules if name}
    graph: Graph = {}
    missing: dict[str, dict[str, Any]] = {}
    external: dict[str, int] = {}
    importers: dict[str, int] = {}
    known: dict[str, bool] = {}
    for name, file in modules.items():
        is_package = file["path"].endswith("/__init__.py")
        for module, line, guarded, lazy in file["imports"]:
            target = _absolute(module, name, is_package)
            local = _local(target, modules) if target else None
            if local is not None:
                importers[local] = importers.get(local, 0) + 1
                if not lazy and not guarded and local != name:
                    graph.setdefault(name, {}).setdefault(local, line)
                continue
            top = module.partition(".")[0]
            if not top or top in own or top in _ELSEWHERE:
                continue
            external[top] = external.get(top, 0) + 1
            if not guarded and not lazy and not _is_known(top, known):
                path = file["path"].removeprefix(folder.rstrip("/") + "/")
                entry = missing.setdefault(top, {"module": top, "path": path, "line": line, "files": 0})
                entry["files"] += 1
    return {
        "own_modules": sorted(own),
        "missing": sorted(missing.values(), key=lambda one: (-one["files"], one["module"]))[:_MOST_MISSING],
        "cycles": _described(_cycles(graph), graph, modules, folder)[:_MOST_CYCLES],
        "most_imported": [[name, count] for name, count in _largest(importers)],
        "third_party": [[name, count] for name, count in _largest(external)],
    }


def _largest(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_MOST_IMPORTED]


def _module_of(folder: str, path: str) -> str:
    inner = path.removeprefix(folder.rstrip("/") + "/").removesuffix(".py")
    inner = inner.removeprefix("src/")
    return inner.replace("/", ".").removesuffix(".__init__")


def _absolute(module: str, importer: str, is_package: bool) -> str:
    """The absolute name of what `importer` imports, "" if it leaves the tree."""
    level = len(module) - len(module.lstrip("."))
    if not level:
        return module
    parts = importer.split(".")
    kept = len(parts) - level + (1 if is_package else 0)
    if kept < 0:
        return ""
    return ".".join([*parts[:kept], *filter(None, [module.lstrip(".")])])


def _local(target: str, modules: dict[str, File]) -> str | None:
    """The module of the tree that `target` names, or the longest part of it."""
    while target:
        if target in modules:
            return target
        target = target.rpartition(".")[0]
    return None


def _is_known(top: str, known: dict[str, bool]) -> bool:
    if top not in known:
        try:
            known[top] = importlib.machinery.PathFinder.find_spec(top, _INSTALLED) is not None
        except ImportError, ValueError:
            known[top] = False
    return known[top]


def _cycles(graph: Graph) -> list[list[str]]:
    """Groups of modules that reach each other (Tarjan 1972, with its own stack instead of recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    groups: list[list[str]] = []
    for start in sorted(graph):
        if start in index:
            continue
        work = [(start, iter(sorted(graph.get(start, {}))))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in index:
                    index[successor] = low[successor] = len(index)
                    stack.append(successor)
                    on_stack.add(successor)
                    work.append((successor, iter(sorted(graph.get(successor, {})))))
                    break
                if successor in on_stack:
                    low[node] = min(low[node], index[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group: list[str] = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        group.append(member)
                        if member == node:
                            break
                    if len(group) > 1:
                        groups.append(sorted(group))
    return sorted(groups, key=lambda one: (-len(one), one))


def _described(
    groups: list[list[str]], graph: Graph, modules: dict[str, File], folder: str
) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = []
    for group in groups:
        first = group[0]
        inside = [line for target, line in graph[first].items() if target in group]
        path = modules[first]["path"].removeprefix(folder.rstrip("/") + "/")
        more = f" and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
        chain = ", ".join(group[:_SHOWN]) + more
        described.append({"size": len(group), "chain": chain, "path": path, "line": min(inside)})
    return described
