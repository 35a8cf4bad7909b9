"""Tasks that tell what is around them where they run."""

import sys
from typing import Any

from laneway import task

__all__ = ["modules_around", "paths_around"]


@task
def modules_around() -> list[str]:
    """Top-level modules that are neither the standard library's nor built in."""
    known = sys.stdlib_module_names | set(sys.builtin_module_names)
    tops = {name.partition(".")[0] for name in sys.modules}
    return sorted(name for name in tops - known if not name.startswith("__"))


@task
def paths_around() -> dict[str, Any]:
    return {"path": list(sys.path)}
