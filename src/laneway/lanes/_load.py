"""Inside a worker: putting a unit's paths in place, importing its code, finding its tasks. Standard library only."""

import os
import sys
from importlib import import_module
from os.path import abspath, dirname, sep
from types import ModuleType

import laneway
from laneway._core.failures import failure_of
from laneway._core.model import TaskSpec
from laneway._core.untyped import Any, Iterator
from laneway.authoring import Workflow, spec_of

__all__ = ["SCRIPT", "describe", "enter", "resolve"]

SCRIPT = "__laneway_main__"
"""The name a script is loaded under, so that `if __name__ == "__main__"` does not run in workers."""


def enter(unit: dict[str, Any]) -> ModuleType:
    """Make the unit importable in this interpreter and import its entry. Raises whatever its code raises."""
    laneway.enter_worker()
    kind = unit["kind"]
    if kind == "package":
        # In an interpreter inside the program's process, the program's own site-packages are there too.
        standard = dirname(os.__file__)
        rest = [
            one
            for one in sys.path
            if (one.startswith(standard) and "-packages" not in one) or one.endswith(".zip")
        ]
        sys.path[:] = [*unit["paths"], *rest]
        return import_module(unit["entry"])
    sys.path[:] = [*unit["paths"], *unit["inherited"]]
    if kind == "module":
        return import_module(unit["entry"])
    return _script(unit["entry"])


def _script(file: str) -> ModuleType:
    module = ModuleType(SCRIPT)
    module.__file__ = abspath(file)
    with open(file, "rb") as source:
        code = compile(source.read(), file, "exec")
    sys.modules[SCRIPT] = module
    sys.modules["__main__"] = module
    exec(code, module.__dict__)  # running the user's script is the point
    return module


def resolve(reference: str) -> Any:
    """The object a task's `module:qualname` names.

    Raises:
        ImportError: the module or the name is not there.
    """
    module_name, _, qualname = reference.partition(":")
    if module_name == "__main__":
        module_name = SCRIPT
    found: Any = sys.modules.get(module_name) or import_module(module_name)
    for part in qualname.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ImportError(
                f"{module_name} has no {qualname!r}: a worker can only reach functions at the top level of a module",
                name=module_name,
            ) from None
    return found


def describe(unit: dict[str, Any], entry: ModuleType) -> dict[str, Any]:
    """The unit's tasks and workflows as plain data; see `Fleet.discover`."""
    # Parsing source is only needed here, and `ast` is not cheap: workers that just run tasks never import it.
    fingerprint_of = import_module("laneway._core.fingerprint").fingerprint_of
    specs: dict[int, TaskSpec] = {}
    for module in _own_modules(unit, entry):
        for value in list(vars(module).values()):
            spec = spec_of(value)
            if spec is not None and id(spec.function) not in specs:
                specs[id(spec.function)] = spec
    workflows = []
    for attribute, value in list(vars(entry).items()):
        if isinstance(value, Workflow):
            for spec in value.spec.tasks:
                specs.setdefault(id(spec.function), spec)
            workflows.append(
                {
                    "name": value.name,
                    "attribute": attribute,
                    "tasks": [spec.id for spec in value.spec.tasks],
                    "merge": dict(value.spec.merge),
                    "doc": value.spec.doc,
                }
            )

    def found(spec: TaskSpec) -> TaskSpec:
        """The task as the program finds it again."""
        reference = spec.reference.replace(f"{SCRIPT}:", "__main__:", 1)
        return spec._replace(fingerprint=fingerprint_of(spec.function), reference=reference)

    tasks = [found(spec.with_tasks(found)).described() for spec in specs.values()]
    return {"tasks": tasks, "workflows": workflows, "error": None}


def _own_modules(unit: dict[str, Any], entry: ModuleType) -> Iterator[ModuleType]:
    yield entry
    if unit["kind"] != "package":
        return
    home = abspath(unit["paths"][0]) + sep if unit["paths"] else dirname(abspath(entry.__file__ or "")) + sep
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if module is not entry and isinstance(file, str) and abspath(file).startswith(home):
            yield module


def undescribed(error: BaseException) -> dict[str, Any]:
    """What discovery answers when the unit cannot be loaded."""
    return {"tasks": [], "workflows": [], "error": failure_of(error)}
