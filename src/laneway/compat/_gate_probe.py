"""The part of the capability gate that runs a child: what native files declare, and whether code needs them."""

import sys
from collections.abc import Mapping
from pathlib import Path

from laneway._core.compat import refuses
from laneway.compat._children import Limits
from laneway.compat._mentions import mentions_in
from laneway.compat.gate import Gated
from laneway.compat.probe import Where, read_extensions

__all__ = ["ask"]

_LIMITS = Limits(seconds=20.0)


def ask(files: Mapping[str, str]) -> Gated:
    """Which of these files (with their modules) an isolated interpreter refuses."""
    roots = {file: _root(file, module) for file, module in files.items()}
    path = tuple(dict.fromkeys([*roots.values(), *(one for one in sys.path if one)]))
    where = Where(sys.executable, path, "", {}, _LIMITS)
    read = read_extensions(list(files.items()), where)
    refused = {one.file: (one.module, _reason(one.initialisation) or refuses(one)) for one in read}
    refused = {file: found for file, found in refused.items() if found[1]}
    optional = _optional(refused, roots)
    return Gated(
        tuple(found for found in refused.values() if found[0] not in optional),
        tuple(found for found in refused.values() if found[0] in optional),
    )


def _reason(initialisation: str) -> str:
    """Reading it ended the child: that is no module to load beside others."""
    return initialisation if initialisation.startswith(("crash", "hang", "exit")) else ""


def _root(file: str, module: str) -> str:
    """The folder of the search path that the module was found in."""
    depth = module.count(".") + (1 if Path(file).name.startswith("__init__.") else 0)
    return str(Path(file).parents[depth])


def _optional(refused: Mapping[str, tuple[str, str]], roots: Mapping[str, str]) -> set[str]:
    """Modules whose every import in the Python code around them catches an ImportError and goes on."""
    guarded: dict[str, bool] = {}
    by_place: dict[tuple[str, str], list[str]] = {}
    for file, (module, _) in refused.items():
        by_place.setdefault((roots[file], module.partition(".")[0]), []).append(module)
    for (root, top), modules in by_place.items():
        folder = Path(root, top)
        around = [one.relative_to(root).as_posix() for one in folder.rglob("*.py")] if folder.is_dir() else []
        for mention in mentions_in(root, around, modules):
            guarded[mention.module] = guarded.get(mention.module, True) and mention.guarded
    return {module for module, is_guarded in guarded.items() if is_guarded}
