"""What an engine is asked to run: a workflow from somewhere else than the running program, and one that is planned."""

from typing import NamedTuple

from laneway._core.model import WorkflowSpec
from laneway._core.plan import Plan
from laneway.ports import Lane, Unit

__all__ = ["Runnable", "Target"]


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
