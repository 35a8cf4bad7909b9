"""A workflow that was found somewhere else than in the running program."""

from typing import NamedTuple

from laneway._core.model import WorkflowSpec
from laneway.ports import Unit

__all__ = ["Target"]


class Target(NamedTuple):
    """A workflow with the code to load for it (None: importable where this program runs)."""

    workflow: WorkflowSpec
    unit: Unit | None
    reference: str
    """What the user named, for resuming by command."""
