"""Which tasks a worker can find again by name."""

from laneway._core.model import TaskSpec
from laneway.ports import Unit

__all__ = ["unreachable"]


def unreachable(unit: Unit, task: TaskSpec) -> str | None:
    """Why a worker outside this interpreter cannot find the task's function, or None."""
    module, _, qualname = task.reference.partition(":")
    if "<lambda>" in qualname:
        return "it is a lambda, which a worker cannot import: write a def at the top level of a module"
    if "<locals>" in qualname:
        return "it is defined inside another function, which a worker cannot import: move it to a module's top level"
    if module == "__main__" and unit.kind != "script":
        return "it was typed at a prompt or in a notebook, which a worker cannot import: put it into a file"
    if task.file.startswith("<"):
        return f"its source is {task.file}, which a worker cannot import: put it into a file"
    return None
