"""Sees files and folders appear in a folder: by inotify where there is one, else by looking every two seconds."""

import asyncio
import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

__all__ = ["Appeared", "FolderWatch", "appeared_since", "file_time"]

_CLOSE_WRITE, _MOVED_TO, _CREATE, _IS_DIR = 0x8, 0x80, 0x100, 0x40000000
_HEADER = struct.Struct("iIII")
_LOOK_SECONDS = 2.0
_CRUMB = 1000
"""Nanoseconds by which an epoch second as a float may be off."""


class Appeared(NamedTuple):
    """Something that is there, and what tells it from what was there under its name before."""

    path: str
    identity: str


def file_time() -> float:
    """Now, as file systems tell it: by a clock that moves in steps of some milliseconds, on Linux."""
    clock = getattr(time, "CLOCK_REALTIME_COARSE", None)
    return time.time() if clock is None else time.clock_gettime(clock)


def appeared_since(folder: str, pattern: str, since: float) -> list[Appeared]:
    """What came into the folder, by name or by content, at that epoch second or later; oldest first."""
    found: list[tuple[int, Appeared]] = []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    for entry in entries:
        one = _look(entry.path) if fnmatchcase(entry.name, pattern) else None
        if one is not None and one[0] >= since * 1e9 - _CRUMB:
            found.append(one)
    return [one for _, one in sorted(found)]


def _look(path: str) -> tuple[int, Appeared] | None:
    try:
        known = os.stat(path)
    except OSError:
        return None
    identity = f"{known.st_ino}-{known.st_mtime_ns}-{known.st_size}"
    return known.st_ctime_ns, Appeared(path, identity)


class FolderWatch:
    """Collects what appears in one folder while it is open. A file counts once it is closed or moved there.

    Args:
        folder: where to look; need not exist yet, but is only seen from then on that `open` is called again.
        pattern: a shell pattern for names.
        told: called on the event loop when something appeared.
    """

    def __init__(self, folder: str, pattern: str, told: Callable[[], None]) -> None:
        self.folder = str(Path(folder).absolute())
        self.pattern = pattern
        self._told = told
        self._names: dict[str, None] = {}
        self._descriptor = -1
        self._last: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> bool:
        """Begin to watch; False while the folder is not there."""
        if not os.path.isdir(self.folder):
            return False
        if self._descriptor >= 0 or self._timer is not None:
            return True
        self._descriptor = _inotify(self.folder)
        loop = asyncio.get_running_loop()
        if self._descriptor >= 0:
            loop.add_reader(self._descriptor, self._read)
        else:
            self._timer = loop.call_later(_LOOK_SECONDS, self._scan)
        return True

    def close(self) -> None:
        """Watch no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def taken(self) -> list[Appeared]:
        """What appeared since the last call and is still there."""
        names, self._names = self._names, {}
        looks = [_look(os.path.join(self.folder, name)) for name in names]
        return [one[1] for one in looks if one is not None]

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            return
        position = 0
        while position < len(data):
            _, mask, _, length = _HEADER.unpack_from(data, position)
            position += _HEADER.size
            name = os.fsdecode(data[position : position + length].rstrip(b"\0"))
            position += length
            is_whole = mask & (_CLOSE_WRITE | _MOVED_TO) or mask & _IS_DIR
            if name and is_whole and fnmatchcase(name, self.pattern):
                self._names[name] = None
        if self._names:
            self._told()

    def _scan(self) -> None:
        """Without inotify: what looks the same twice is whole."""
        now = {one.path: one.identity for one in appeared_since(self.folder, self.pattern, 0.0)}
        for path, identity in now.items():
            if self._last.get(path) == identity:
                self._names[Path(path).name] = None
        self._last = now
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._scan)
        if self._names:
            self._told()


def _inotify(folder: str) -> int:
    """A descriptor that tells of the folder's new entries, or -1."""
    if sys.platform != "linux":
        return -1
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = int(library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor < 0:
        return -1
    if library.inotify_add_watch(descriptor, os.fsencode(folder), _CLOSE_WRITE | _MOVED_TO | _CREATE) < 0:
        os.close(descriptor)
        return -1
    return descriptor
