"""The record of a package's files: path, SHA-256 and size of each, in one order, and the hash over all of them."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from laneway._core.errors import PackageUnreadable

__all__ = [
    "CONTENT",
    "LOCK_NAME",
    "RECORD_NAME",
    "SIGNATURE_NAME",
    "FileEntry",
    "content_hash",
    "files_of",
    "record_text",
]

LOCK_NAME = "laneway.lock"
RECORD_NAME = "RECORD"
SIGNATURE_NAME = "SIGNATURE"
CONTENT = ("laneway.toml", LOCK_NAME, "src", "vendor")
"""What of a package's folder belongs to the package."""

_SKIPPED_FOLDERS = frozenset({"__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
_SKIPPED_FILES = frozenset({".DS_Store"})
_BLOCK = 1 << 20


class FileEntry(msgspec.Struct, frozen=True, order=True):
    """One file of a package; `path` is relative, with forward slashes."""

    path: str
    sha256: str
    size_bytes: int


def files_of(root: Path, package: str) -> tuple[FileEntry, ...]:
    """Every file that belongs to the package in `root`, sorted by path, without byte code and caches.

    Raises:
        PackageUnreadable: a link, a device or something else that is neither file nor folder; a file that cannot
            be read; a name that is not UTF-8.
    """
    found = [_entry(root, path, package) for name in CONTENT for path in _walk(root / name, package)]
    return tuple(sorted(found))


def record_text(files: Iterable[FileEntry]) -> str:
    """The text of RECORD: one line a file, `sha256 size path`."""
    return "".join(f"{one.sha256} {one.size_bytes} {one.path}\n" for one in files)


def content_hash(files: Iterable[FileEntry]) -> str:
    """SHA-256 over RECORD: equal for a folder and every archive built from it."""
    return hashlib.sha256(record_text(files).encode()).hexdigest()


def _walk(path: Path, package: str) -> Iterator[Path]:
    if path.is_symlink():
        raise _odd(path, package, "is a link")
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        if path.exists():
            raise _odd(path, package, "is neither a file nor a folder")
        return
    with os.scandir(path) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _SKIPPED_FOLDERS:
                yield from _walk(path / entry.name, package)
        elif entry.name not in _SKIPPED_FILES:
            yield from _walk(path / entry.name, package)


def _entry(root: Path, path: Path, package: str) -> FileEntry:
    relative = path.relative_to(root).as_posix()
    if not relative.isprintable() or not _is_utf8(relative):
        raise _odd(path, package, "has a name with characters that cannot be printed")
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise _odd(path, package, f"cannot be read ({error.strerror})") from error
    return FileEntry(path=relative, sha256=digest.hexdigest(), size_bytes=size)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _odd(path: Path, package: str, what: str) -> PackageUnreadable:
    advice = "A package holds plain files and folders only: put a copy there instead"
    return PackageUnreadable(package=package, reason=f"{str(path)!r} {what}", advice=advice)
