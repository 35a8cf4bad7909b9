"""What all stores say of artifacts alike."""

from collections.abc import Sequence
from typing import Any

__all__ = ["DAY", "answer"]

DAY = 86_400.0
"""Seconds for which an artifact that no run got is kept: a program put it in, or its run was never recorded."""


def answer(row: Sequence[Any]) -> dict[str, Any]:
    """An artifact as plain data."""
    digest, size, created, runs = row
    return {"digest": bytes(digest).hex(), "size": size, "created": created, "runs": runs}
