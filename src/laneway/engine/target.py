"""What an engine is asked to run: a workflow from somewhere else than the running program, and one that is planned."""

import sys
from pathlib import Path
from typing import NamedTuple

from laneway._core.fingerprint import fingerprint_of
from laneway._core.model import TaskSpec, WorkflowSpec
from laneway._core.plan import Plan
from laneway.authoring import Workflow
from laneway.ports import Lane, Unit

__all__ = ["FILE_MODULE", "Runnable", "Target", "from_file", "of_file", "with_fingerprint"]

FILE_MODULE = "_laneway_file_"
"""How modules are called that files were loaded as to be run, before a digest of the path."""


class Target(NamedTuple):
    """A workflow with the code to load for it (None: importable where this program runs)."""

    workflow: WorkflowSpec
    unit: Unit | None
    reference: str
    """What the user named, for resuming by command."""


class Runnable(NamedTuple):
    """A workflow that this engine can run: its plan, and per task its code and its lane."""

    plan: Plan
    units: tuple[Unit, ...]
    lanes: tuple[Lane, ...]
    reference: str
    fingerprints: bytes


def of_file(workflow: Workflow) -> Target | None:
    """How workers and commands find a workflow whose file was loaded to be run; None for all others.

    Such a file is a module of a name of its own here, which no worker knows.
    """
    module = sys.modules.get(workflow.module) if workflow.module.startswith(FILE_MODULE) else None
    if module is None or module.__file__ is None:
        return None
    label = next((name for name, value in vars(module).items() if value is workflow), workflow.name)
    return from_file(workflow, workflow.module, Path(module.__file__), label)


def from_file(workflow: Workflow, private: str, file: Path, label: str) -> Target:
    """A workflow of a file that was loaded as the module `private`."""
    inherited = tuple(str(Path(one).absolute()) for one in sys.path)
    unit = Unit(f"script:{file}", "script", str(file), inherited=inherited, name=str(file))

    def as_found(spec: TaskSpec) -> TaskSpec:
        return _of_script(spec, private)

    tasks = tuple(as_found(one.with_tasks(as_found)) for one in workflow.spec.tasks)
    return Target(workflow.spec._replace(tasks=tasks), unit, f"{file}:{label}")


def _of_script(spec: TaskSpec, private: str) -> TaskSpec:
    """The task as a worker finds it: workers load the file as their main module."""
    module, _, name = spec.reference.partition(":")
    reference = f"__main__:{name}" if module == private else spec.reference
    found = with_fingerprint(spec)._replace(reference=reference)
    # Inner workflows are the file's, as their tasks are: not those of a module that this program imported.
    return found if spec.nested is None else found._replace(function=None)


def with_fingerprint(spec: TaskSpec) -> TaskSpec:
    """The task with what tells whether its code has changed since."""
    return spec if spec.function is None else spec._replace(fingerprint=fingerprint_of(spec.function))
