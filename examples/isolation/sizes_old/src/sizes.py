"""Which humanize this package has, where it was imported from, and what it says about the same numbers."""

from collections.abc import Callable
from typing import Any

import humanize  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports] - vendored

from laneway import Workflow, task

__all__ = ["describe", "identify", "sizes"]

_LARGE = 10**28


@task(lane="interpreter")
def identify() -> dict[str, Any]:
    """The version and file of the library this interpreter imported."""
    return {"library": "humanize", "version": str(humanize.__version__), "file": str(humanize.__file__)}


@task(lane="interpreter")
def describe(identify: dict[str, Any]) -> dict[str, Any]:
    """What differs between the versions: units beyond yotta, and a function that only the newer one has."""
    natural_list: Callable[[list[str]], str] | None = getattr(humanize, "natural_list", None)
    return {
        "version": identify["version"],
        "10**28 bytes": humanize.naturalsize(_LARGE),
        "a, b, c": natural_list(["a", "b", "c"]) if natural_list is not None else "no natural_list here",
    }


sizes = Workflow("sizes", [identify, describe])
