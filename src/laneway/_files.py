"""Files for artifacts: where they come from, and opening them under a package's policy. Standard library only."""

# The values of strangers have no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
from _thread import get_ident
from errno import ENOENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Trusted", "created", "known_size", "make_folder", "source_of"]


def make_folder(folder: str) -> None:
    """Make a private folder and those above it, though another engine may be removing an empty one of them."""
    for _ in range(100):
        try:
            return os.makedirs(folder, 0o700, exist_ok=True)
        except FileNotFoundError:
            continue
    raise FileNotFoundError(ENOENT, "the folder cannot be made", folder)


def created(path: str) -> int:
    """A new file to write to, which later is only for reading; its folder is made if it is not there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o400)
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        return os.open(path, flags, 0o400)


class Trusted:
    """While it lasts, a policy's audit hook, if there is one, takes this thread for Laneway's own."""

    __slots__ = ("_guard", "_ident")

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        self._ident = 0

    def __enter__(self) -> None:
        guard, ident = self._guard, get_ident()
        if (
            guard is not None and ident not in guard.trusted
        ):  # else it lasts already: a handle was dropped meanwhile
            self._ident = ident
            guard.trusted.add(ident)

    def __exit__(self, *_: object) -> None:
        if self._ident:
            self._guard.trusted.discard(self._ident)


def source_of(data: Any) -> Any:
    """A flat memoryview, or a file to read from; paths are opened with the caller's own rights."""
    if isinstance(data, str):
        raise TypeError(
            "artifact(...) takes bytes or a path, not text: use text.encode(), or pathlib.Path(text) for a file's name"
        )
    if isinstance(data, os.PathLike):
        return open(data, "rb")
    if callable(getattr(data, "read", None)):
        return data
    try:
        return memoryview(data).cast("B")
    except TypeError:
        raise TypeError(f"artifact(...) takes bytes, a path or a file, not {type(data).__name__}") from None


def known_size(source: Any) -> int:
    """The bytes it has, as far as that can be told before it is read."""
    if isinstance(source, memoryview):
        return source.nbytes
    try:
        return os.fstat(source.fileno()).st_size
    except OSError, AttributeError, ValueError, TypeError:
        return 0
