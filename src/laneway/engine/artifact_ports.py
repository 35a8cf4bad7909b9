"""What an engine's artifacts need of a store: the book of what is kept and which runs use it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

__all__ = ["ArtifactBook"]


class ArtifactBook(Protocol):
    """Where one store keeps artifacts. A run that uses one keeps it from being swept.

    Digests are SHA-256 in hexadecimal. All may raise StoreUnavailable: nothing was changed; it is safe to try again.
    """

    url: str
    """The store's."""
    folder: str
    """Of a store whose artifacts are files: `objects` and `staging` are in it. Empty where bytes are elsewhere."""

    def staging(self) -> str:
        """A name in `folder/staging` for the files of this engine, which tells others whether it still lives."""
        ...

    async def keep(self, run: bytes, staged: Mapping[str, str], others: Sequence[str]) -> list[str]:
        """Keep the files `staged` by digest and record that `run` uses them and `others`, in one transaction.

        What was staged is durable and whole afterwards, however often it was there before; the file may be gone.

        Returns:
            Those of `others` that are not there; nothing is recorded about them.
        """
        ...

    async def fetch(self, digest: str, target: str) -> bool:
        """Write an artifact's bytes to the file `target`; False if it is not there."""
        ...

    async def listed(self, run: bytes | None) -> list[dict[str, Any]]:
        """All artifacts, or a run's: `digest`, `size`, `created` and how many `runs` use it, oldest first."""
        ...
