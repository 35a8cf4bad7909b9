"""What a command is told to run: `module:workflow`, `file.py:workflow`, a package folder or a `.lane` file."""

from typing import NamedTuple

from laneway._core.model import WorkflowSpec
from laneway.ports import Unit

__all__ = ["Target"]


class Target(NamedTuple):
    """A workflow that was found, with the code to load for it (None: importable where this program runs)."""

    workflow: WorkflowSpec
    unit: Unit | None
    reference: str
