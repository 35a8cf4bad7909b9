"""What workers found in packages, kept by content: the next program need not start a worker to describe them."""

import contextlib
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from laneway import __version__
from laneway.packages.package import Package

__all__ = ["FORMAT", "Circumstances", "Discoveries", "follows_from_content", "is_lasting"]

FORMAT = 1
"""Raise it when discovery answers something else about the same package."""

_MOST_BYTES = 4 << 20
_MOST_FILES = 1_000
_UNUSED_SECONDS = 30 * 86400.0
_WRITING_SECONDS = 3600.0
"""A temporary file older than this has lost its writer."""
_USED_SECONDS = 86400.0
"""How exactly the time of the last use is known: looking seldom writes."""
_OUTSIDE = ("network", "filesystem.read", "filesystem.write", "subprocess")
"""What lets the code that registers tasks look at more than the package's content and its environment."""
_ANY_CODE = frozenset({"ctypes", "_ctypes"})
_REFUSES_INTERPRETERS = "subinterpreter"
"""In CPython's message for a module that declares so; other failures may be of the moment."""


class Circumstances(NamedTuple):
    """What an answer depends on besides the content, this interpreter and Laneway."""

    no_interpreters: str
    """Why packages are loaded in processes, or empty."""
    environment: Mapping[str, str]
    """What of it the package may see."""

    def digest(self, package: Package) -> str:
        """Stands for all that an answer about the package depends on, but for its content."""
        parts = "\0".join(self._parts(package))
        return sha256(parts.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def _parts(self, package: Package) -> Iterator[str]:
        yield from (str(FORMAT), __version__, str(package.root), self.no_interpreters)
        gil = getattr(sys, "_is_gil_enabled", lambda: True)()
        yield from (sys.version, sys.implementation.name, sys.platform, os.uname().machine, str(gil))
        yield str(sys.flags.optimize)  # it takes docstrings and assertions away
        for name in sorted(self.environment):
            yield from (name, self.environment[name])


class _Found(msgspec.Struct):
    """What a file holds."""

    tasks: list[dict[str, Any]]
    workflows: list[dict[str, Any]]
    interpreter_refusal: str


class Discoveries:
    """A folder of what workers answered, one file a package and circumstances.

    A file appears in one rename and begins with the hash of the rest. What is damaged, unreadable or somebody else's
    counts as missing, and a folder that cannot be written as none: nothing here ever fails.

    Args:
        folder: made when needed; this user's alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, package: Package, circumstances: Circumstances) -> dict[str, Any] | None:
        """What `Fleet.discover` answered for that content, or None."""
        try:
            head, _, body = _content(self._file(package, circumstances)).partition(b"\n")
            if head != sha256(body).hexdigest().encode():
                return None
            found = msgspec.json.decode(body, type=_Found)
        except OSError, msgspec.DecodeError, UnicodeDecodeError:
            return None
        return {**msgspec.structs.asdict(found), "error": None}

    def keep(self, package: Package, circumstances: Circumstances, answer: Mapping[str, Any]) -> bool:
        """Keep an answer, in place of an earlier one; says whether that could be done."""
        try:
            body = msgspec.json.encode(
                _Found(answer["tasks"], answer["workflows"], answer["interpreter_refusal"])
            )
            if len(body) > _MOST_BYTES:
                return False
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._prune()
            content = sha256(body).hexdigest().encode() + b"\n" + body
            _replace(self._file(package, circumstances), content)
        except OSError, ValueError:
            return False
        return True

    def forget(self, content_hash: str) -> int:
        """Remove what is known of one content; returns how many answers went."""
        files = [*self.folder.glob(f"{content_hash}-*.json")]
        for file in files:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        return len(files)

    def _file(self, package: Package, circumstances: Circumstances) -> Path:
        return self.folder / f"{package.content_hash}-{circumstances.digest(package)}.json"

    def _prune(self) -> None:
        """Remove what nobody used for long, the least used of too many, and what killed writers left."""
        now = time.time()
        ages: list[tuple[float, str]] = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    age = now - entry.stat(follow_symlinks=False).st_mtime
                    ages.append((age, entry.path))
        ages.sort()
        for place, (age, path) in enumerate(ages):
            limit = _UNUSED_SECONDS if path.endswith(".json") else _WRITING_SECONDS
            if age > limit or place >= _MOST_FILES - 1:
                with contextlib.suppress(OSError):
                    os.unlink(path)


def follows_from_content(package: Package) -> bool:
    """Whether what a package registers follows from its content alone, as far as its policy can tell.

    Nor is a package that a trusted key signed described by a file that nobody signed.
    """
    policy = dict(package.manifest.policy)
    native = policy.get("native", False)
    calls_anything = native is True or bool(native and _ANY_CODE.intersection(native))
    return package.signature.status != "trusted" and not calls_anything and not any(map(policy.get, _OUTSIDE))


def is_lasting(circumstances: Circumstances, answer: Mapping[str, Any]) -> bool:
    """Whether the next worker would answer the same. A failure may be of the moment.

    So may be why an interpreter refused, unless a module declares that it does not support them.
    """
    refusal = str(answer["interpreter_refusal"])
    lasts = refusal in ("", circumstances.no_interpreters) or _REFUSES_INTERPRETERS in refusal
    return answer["error"] is None and lasts


def _content(path: Path) -> bytes:
    """Raises OSError where the file is not a plain one of this user, or too large."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_uid != os.getuid()
            or status.st_size > _MOST_BYTES + 65
        ):
            raise OSError("not a file of this user's that was written here")
        content = file.read()
        if time.time() - status.st_mtime > _USED_SECONDS:
            with contextlib.suppress(OSError):
                os.utime(descriptor)
        return content


def _replace(file: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=file.parent)
    try:
        with open(descriptor, "wb") as opened:
            opened.write(content)
        os.replace(name, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
