"""Copies of a distant store's artifacts on this host, for workers to open; the least recently used give way."""

import asyncio
import os
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from uuid import uuid4
from weakref import WeakValueDictionary

__all__ = ["Cache"]

_ROOM_BYTES = 1 << 30


class Cache:
    """Files by digest in one folder; used from the engine's loop.

    Args:
        folder: where they are.
        fetch: writes an artifact to a file; False if the store has not got it.
        room: bytes to keep when nothing that runs needs them.
    """

    def __init__(
        self, folder: str, fetch: Callable[[str, str], Awaitable[bool]], room: int = _ROOM_BYTES
    ) -> None:
        self._folder = folder
        self._fetch = fetch
        self._room = room
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._held = 0
        self._pins: Counter[str] = Counter()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def _place(self, digest: str) -> str:
        return f"{self._folder}/{digest[:2]}/{digest[2:]}"

    def _is_here(self, digest: str) -> bool:
        return digest in self._sizes and os.path.exists(self._place(digest))

    def pin(self, digests: Iterable[str]) -> None:
        """Keep these, whatever comes."""
        self._pins.update(digests)

    def unpin(self, digests: Iterable[str]) -> None:
        """They may give way again."""
        self._pins.subtract(digests)
        for digest in digests:
            if not self._pins[digest]:
                del self._pins[digest]
        self._make_room()

    def add(self, digest: str, file: str) -> None:
        """Take a file over that has that content."""
        place = self._place(digest)
        os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
        with suppress(FileNotFoundError):  # somebody else was first
            os.chmod(file, 0o400)
            os.replace(file, place)
        with suppress(FileNotFoundError):
            self._held += os.path.getsize(place) - self._sizes.pop(digest, 0)
            self._sizes[digest] = os.path.getsize(place)
        self._make_room()

    async def fetch(self, digest: str) -> bool:
        """Have it here; False if the store has not got it."""
        lock = self._locks.get(digest)
        if lock is None:
            lock = self._locks[digest] = asyncio.Lock()
        async with lock:
            if self._is_here(digest):
                self._sizes.move_to_end(digest)
                return True
            os.makedirs(self._folder, 0o700, exist_ok=True)
            part = f"{self._folder}/{uuid4().hex}.part"
            try:
                found = await self._fetch(digest, part)
                if found:
                    self.add(digest, part)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(part)
        return found

    def _make_room(self) -> None:
        if self._held <= self._room:
            return
        for digest in [one for one in self._sizes if one not in self._pins]:
            if self._held > self._room:
                self._held -= self._sizes.pop(digest)
                with suppress(FileNotFoundError):
                    os.unlink(self._place(digest))
