"""The triggers that a store keeps: read, and changed beside others who change them at the same time."""

from collections.abc import Awaitable, Callable

import msgspec

from laneway.engine.trigger_records import Trigger
from laneway.ports import Store

__all__ = ["TriggerBook"]

_KIND = "trigger"


class TriggerBook:
    """Triggers as documents of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def all(self) -> list[tuple[Trigger, int]]:
        """All of them with their versions, by name."""
        rows = await self._store.read("documents", kind=_KIND)
        found = [(_decode(row["body"]), int(row["version"])) for row in rows]
        return sorted(found, key=lambda pair: pair[0].name)

    async def find(self, name: str) -> tuple[Trigger, int] | None:
        """The one of that name, with its version."""
        rows = await self._store.read("documents", kind=_KIND, name=name)
        return (_decode(rows[0]["body"]), int(rows[0]["version"])) if rows else None

    async def keep(self, trigger: Trigger, *, version: int) -> int | None:
        """Write it if it still has that version; its new one, or None if somebody else was first."""
        return await self._store.keep(_KIND, trigger.name, msgspec.json.encode(trigger), version=version)

    async def change(
        self, name: str, how: Callable[[Trigger | None], Awaitable[Trigger | None]]
    ) -> Trigger | None:
        """Write what `how` makes of the trigger as it is; None writes nothing. Done anew if somebody else was first."""
        while True:
            found = await self.find(name)
            known, version = (None, 0) if found is None else found
            wanted = await how(known)
            if wanted is None or wanted == known or await self.keep(wanted, version=version) is not None:
                return wanted

    async def remove(self, name: str) -> None:
        """Forget it, if it is there."""
        await self._store.keep(_KIND, name, None)

    async def last_event(self) -> int:
        """The cursor of the newest event: events are only asked for upwards, so it is searched for."""
        low, high = 0, 1
        while await self._store.read("events", after=high, limit=1):
            low, high = high, high * 2
        while low < high:
            middle = (low + high) // 2
            if await self._store.read("events", after=middle, limit=1):
                low = middle + 1
            else:
                high = middle
        return low


_decode = msgspec.json.Decoder(Trigger).decode
