"""The command line: a face that calls `app` and shows records."""

from laneway.cli._main import main

__all__ = ["main"]
