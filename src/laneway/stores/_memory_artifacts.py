"""Artifacts of a memory store: bytes in the program's memory, for as long as its records are there."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from laneway.stores._artifact_rows import answer
from laneway.stores.memory import MemoryStore

__all__ = ["MemoryArtifacts"]


class MemoryArtifacts:
    """ArtifactBook port of a memory store."""

    folder = ""

    def __init__(self, store: MemoryStore) -> None:
        self.url = store.url
        self._records = store._records

    def staging(self) -> str:
        return uuid4().hex

    async def keep(self, run: bytes, staged: Mapping[str, str], others: Sequence[str]) -> list[str]:
        records = self._records
        for digest, path in staged.items():
            if digest not in records.artifacts:
                body = await asyncio.to_thread(Path(path).read_bytes)
                records.artifacts[digest] = (body, time.time())
            records.artifact_uses.setdefault(run, set()).add(digest)
        missing = [one for one in others if one not in records.artifacts]
        kept = {one for one in others if one not in missing}
        if kept:
            records.artifact_uses.setdefault(run, set()).update(kept)
        return missing

    async def fetch(self, digest: str, target: str) -> bool:
        found = self._records.artifacts.get(digest)
        if found is None:
            return False
        await asyncio.to_thread(Path(target).write_bytes, found[0])
        return True

    async def listed(self, run: bytes | None) -> list[dict[str, Any]]:
        records = self._records
        wanted = records.artifacts.keys() if run is None else records.artifact_uses.get(run, set())
        rows = [(records.artifacts[one][1], one) for one in wanted if one in records.artifacts]
        return [answer(self._row(one)) for _, one in sorted(rows)]

    def _row(self, digest: str) -> tuple[bytes, int, float, int]:
        body, created = self._records.artifacts[digest]
        uses = self._records.artifact_uses.items()
        runs = sum(1 for run, used in uses if digest in used and run in self._records.runs)
        return bytes.fromhex(digest), len(body), created, runs
