"""The command line: a face that calls `app` and shows records."""

import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and leave with its exit status.

    Its modules are imported here, so that Ctrl-C while they are read ends the program without a traceback.
    """
    try:
        return int(import_module("laneway.cli._main").main(arguments))
    except KeyboardInterrupt:
        print("laneway: stopped", file=sys.stderr)
        return int(import_module("laneway.cli._errors").CANCELLED)
