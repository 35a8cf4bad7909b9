"""What was found out, kept by the hash of the distribution's files, the interpreter's build and its dependencies."""

import contextlib
import os
from hashlib import sha256
from pathlib import Path

import msgspec

from laneway._core.compat import Probe
from laneway.compat._folder import cache_folder
from laneway.compat.probe import PROBER

__all__ = ["ProbeCache", "cache_folder", "probe_key"]


def probe_key(digest: str, dependencies: str, build: str, *, deep: bool) -> str:
    """The name a result is kept under."""
    parts = (str(PROBER), digest, dependencies, build, "deep" if deep else "normal")
    return sha256("\n".join(parts).encode()).hexdigest()[:40]


class ProbeCache:
    """Results as JSON files. Damaged ones count as missing; writers never see each other's halves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> Probe | None:
        """The result kept under that key."""
        try:
            return msgspec.json.decode(self._file(key).read_bytes(), type=Probe)
        except OSError, msgspec.DecodeError:
            return None

    def keep(self, key: str, found: Probe) -> None:
        """Keep a result. A cache that cannot be written is no cache, not an error."""
        file = self._file(key)
        with contextlib.suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = file.with_name(f".{file.name}.{os.getpid()}")
            temporary.write_bytes(msgspec.json.encode(found))
            os.replace(temporary, file)

    def _file(self, key: str) -> Path:
        return self.folder / "probes" / key[:2] / f"{key}.json"
