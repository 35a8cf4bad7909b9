"""Noticing that `logging` is imported in a worker, so that only workers that log pay for it. Standard library only."""

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import PathFinder
from types import ModuleType

from laneway._core.untyped import Any, Callable

__all__ = ["when_imported"]


class Arrival:
    """A finder that sees one module come, calls back once it has run, and is gone."""

    def __init__(self, name: str, arrived: Callable[[], None]) -> None:
        self._name = name
        self._arrived = arrived

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The spec of that module, with a loader that calls back; None for every other."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        loader: Any = None if spec is None else spec.loader
        if loader is None:
            return spec
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            self._arrived()

        loader.exec_module = exec_module
        return spec


def when_imported(name: str, arrived: Callable[[], None]) -> None:
    """Call `arrived` as soon as the module is imported; at once if it is there."""
    if name in sys.modules:
        arrived()
    else:
        finder: Any = Arrival(name, arrived)
        sys.meta_path.insert(0, finder)
