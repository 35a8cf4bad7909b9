"""A hold on extracted files: while one is open, nobody removes them."""

import os
import weakref
from pathlib import Path

__all__ = ["Hold"]


class Hold:
    """Keeps the files of one extracted package in place until it is closed, or its process ends."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self.root = root
        self._close = weakref.finalize(self, os.close, descriptor)

    @property
    def is_open(self) -> bool:
        """True until `close`."""
        return self._close.alive

    def close(self) -> None:
        """Let go of the files. Idempotent."""
        self._close()
