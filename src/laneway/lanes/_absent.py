"""Inside a worker: Laneway's parts for the program can be imported, but not used. Standard library only.

A script that says `from laneway import Engine, task` at its top must load in a worker too, where the engine and the
libraries it needs are not there.
"""

import sys
from _frozen_importlib import ModuleSpec
from types import ModuleType

from laneway._core.untyped import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


__all__ = ["install"]

_HERE = (
    "authoring", "_attempt", "_core", "_files", "aio", "artifacts", "bridge", "compat", "nesting", "suspension",
)  # fmt: skip
_HERE_TOO = frozenset(
    {
        "laneway.bench",
        "laneway.bench._inline",
        "laneway.bench.workloads",
        "laneway.testing",
        "laneway.testing.lane_tasks",
        "laneway.lanes",
        "laneway.lanes.buffers",
        *(
            f"laneway.lanes._{name}"
            for name in (
                "absent", "arrival", "capture", "coroutines", "frames", "guard", "invoke", "limits", "load", "reply",
                "seccomp", "service", "shim", "watchdog", "worker_logs",
            )
        ),
    }
)  # fmt: skip


def install() -> None:
    """Answer imports of the program's parts of Laneway with modules of placeholders."""
    sys.meta_path.insert(0, _Finder)


class _Finder:
    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith("laneway.") or name in _HERE_TOO or name.split(".", 2)[1] in _HERE:
            return None
        loader: Any = _Finder
        return ModuleSpec(name, loader, is_package=True)

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        return _Absent(spec.name)

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Nothing to run."""


class _Absent(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[:1].isupper():
            return type(name, (_Thing,), {"__module__": self.__name__})
        return _Function(name)


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(
        f"laneway's {name} was used while a worker loaded this code or ran its task; only the program itself has it. "
        "Put what starts runs under `if __name__ == '__main__':`"
    )


class _Function:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *_: object, **__: object) -> NoReturn:
        _refuse(self._name)


class _Thing:
    """May be made (at the top of a module, say), and then does nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        return

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(f"{type(self).__name__}.{name}")

    async def __aenter__(self) -> NoReturn:
        _refuse(type(self).__name__)

    async def __aexit__(self, *_: object) -> None:
        return

    def __enter__(self) -> NoReturn:
        _refuse(type(self).__name__)

    def __exit__(self, *_: object) -> None:
        return
