"""Large binary values that tasks pass by reference: how they are made and read. Standard library only."""

# The values of strangers have no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import io
import os
from _thread import allocate_lock
from importlib import import_module

from laneway import _attempt
from laneway._core.artifacts import (
    PREFIX,
    ArtifactDamaged,
    ArtifactMissing,
    ArtifactTooLarge,
    checked_media_type,
    named,
)
from laneway._core.untyped import Any
from laneway._files import Trusted, created, known_size, source_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["Artifact", "Desk", "artifact", "plain", "with_handles"]

_CHUNK = 1 << 20
_MOST_DEPTH = 500


class Artifact:
    """A large binary value, named by what it holds. Return it from a task, anywhere in the result.

    In contexts and results it is plain JSON, its `reference`; a task that takes it as a parameter gets an `Artifact`.
    """

    __slots__ = ("__weakref__", "_desk", "_staged", "digest", "media_type", "size")

    def __init__(self, desk: Desk, digest: str, size: int, media_type: str, staged: str = "") -> None:
        self._desk = desk
        self._staged = staged
        self.digest = digest
        self.size = size
        """Bytes."""
        self.media_type = media_type

    @property
    def hash(self) -> str:
        """`sha256:` and the digest of the content."""
        return PREFIX + self.digest

    @property
    def reference(self) -> dict[str, Any]:
        """The plain JSON that stands for it: `{"$artifact": "sha256:...", "size": ..., "media_type": ...}`."""
        if self._staged:
            self._desk.hand_over(self)
        return {"$artifact": self.hash, "size": self.size, "media_type": self.media_type}

    def open(self) -> BinaryIO:
        """Its content as a file for reading, checked against its hash.

        Raises:
            ArtifactMissing, ArtifactDamaged: it is not there, or its content is not what was kept.
        """
        return self._desk.opened(self, self._staged)

    def read(self) -> bytes:
        """All of its content. Raises as `open`."""
        with self.open() as file:
            return file.read()

    @property
    def path(self) -> Path:
        """A file with its content, for libraries that want one. Only for reading, and not beyond the task.

        Raises as `open`.
        """
        with self.open() as file:
            found: Path = import_module("pathlib").Path(file.name)
        if self._desk.guard is not None:
            self._desk.guard.grant(str(found))
        return found

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Artifact({self.hash[:19]}…, {self.size:,} bytes, {self.media_type})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Artifact):
            return NotImplemented
        return (self.digest, self.media_type) == (other.digest, other.media_type)

    def __hash__(self) -> int:
        return hash((self.digest, self.media_type))

    def __del__(self) -> None:
        if getattr(self, "_staged", ""):
            self._desk.discard(self._staged)


class Desk:
    """Where one process makes and reads artifacts.

    What is made lies in `staging` under a name of its own until it is handed over; then under its digest, for the
    engine to take. What is kept lies in `objects` by digest.

    Args:
        objects: folder of what is kept.
        staging: folder of this process or worker, on the same file system.
        limit: bytes that one artifact may have, or None.
        guard: the audit hook of a package's policy, which lets files be opened here.
    """

    def __init__(self, objects: str, staging: str, limit: int | None = None, guard: Any = None) -> None:
        self.objects = objects
        self.staging = staging
        self.limit = limit
        self.guard = guard
        self._lock = allocate_lock()
        self._number = 0
        self._checked: dict[str, tuple[int, int, int, int]] = {}
        """Per digest which file was found to have it, so that it is read through once only."""

    # ---- making

    def make(self, data: Any, media_type: str) -> Artifact:
        """Stage `data`: bytes, a path, or a file that is open for reading bytes.

        Raises:
            TypeError: it is none of these.
            ArtifactTooLarge: it has more bytes than allowed.
            OSError: it cannot be read, or there is no room.
        """
        media_type = checked_media_type(media_type)
        source = source_of(data)
        try:
            if self.limit is not None and known_size(source) > self.limit:
                raise self._too_large()
            part = self._new_name() + ".part"
            with Trusted(self.guard):
                target = created(part)
            try:
                digest, size = self._copied(source, target)
            except BaseException:
                self.discard(part)
                raise
            finally:
                os.close(target)
        finally:
            if source is not data and isinstance(source, io.IOBase):
                source.close()
        staged = f"{part[:-5]}.{digest}"
        with Trusted(self.guard):
            os.replace(part, staged)
        return Artifact(self, digest, size, media_type, staged)

    def _copied(self, source: Any, target: int) -> tuple[str, int]:
        # hashlib brings OpenSSL: only workers that make or read artifacts pay for it.
        digest = import_module("hashlib").sha256()
        size = 0
        while True:
            if isinstance(source, memoryview):
                piece: Any = source[size : size + _CHUNK]
            else:
                piece = source.read(_CHUNK)
                if not isinstance(piece, bytes | bytearray | memoryview):
                    raise TypeError(
                        f"artifact(...) takes a file of bytes; this one gave {type(piece).__name__}: open it with 'rb'"
                    )
            if not len(piece):
                return digest.hexdigest(), size
            size += len(piece)
            if self.limit is not None and size > self.limit:
                raise self._too_large()
            digest.update(piece)
            written = 0
            while written < len(piece):
                written += os.write(target, piece[written:] if written else piece)

    def _too_large(self) -> ArtifactTooLarge:
        return ArtifactTooLarge(limit_mib=(self.limit or 0) / (1 << 20))

    def _new_name(self) -> str:
        with self._lock:
            self._number += 1
            return f"{self.staging}/{self._number}"

    def hand_over(self, one: Artifact) -> None:
        """From now on the engine may take it, and it is not thrown away with its handle."""
        with self._lock, Trusted(self.guard):
            if one._staged:
                os.replace(one._staged, f"{self.staging}/{one.digest}")
                one._staged = ""

    def discard(self, staged: str) -> None:
        """Throw away what nobody was given."""
        try:
            with Trusted(self.guard):
                os.unlink(staged)
        except OSError:
            return  # the engine has closed and taken the folder with it

    # ---- reading

    def place(self, digest: str) -> str:
        """Where it lies once it is kept."""
        return f"{self.objects}/{digest[:2]}/{digest[2:]}"

    def opened(self, one: Artifact, staged: str = "") -> BinaryIO:
        """A file with its content, checked."""
        digest = one.digest
        handed_over = f"{self.staging}/{digest}" if self.staging else ""
        kept = self.place(digest) if self.objects else ""
        # What was kept stays there; what was handed over moves to the kept ones at any moment.
        for path in (staged, kept, handed_over, kept):
            if not path:
                continue
            try:
                with Trusted(self.guard):
                    file = io.open(path, "rb")  # noqa: SIM115, UP020 - the caller closes it
            except FileNotFoundError:
                continue
            try:
                self.check(digest, file, path)
            except BaseException:
                file.close()
                raise
            return file
        where = f"no file {self.place(digest)}" if self.objects else "nothing is kept outside of runs"
        advice = "Keep the folder of artifacts together with its database, and give `laneway worker` the engine's store"
        raise ArtifactMissing(hash=one.hash, where=where, advice=advice)

    def check(self, digest: str, file: BinaryIO, path: str) -> None:
        """Return if the file's content has that digest; it is left at its beginning.

        Raises:
            ArtifactDamaged: it has another one.
        """
        status = os.fstat(file.fileno())
        found = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._checked.get(digest) == found:
            return
        if import_module("hashlib").file_digest(file, "sha256").hexdigest() != digest:
            raise ArtifactDamaged(hash=PREFIX + digest, where=path)
        file.seek(0)
        with self._lock:
            while len(self._checked) >= 10_000:
                del self._checked[next(iter(self._checked))]
            self._checked[digest] = found


def artifact(data: Any, *, media_type: str = "application/octet-stream") -> Artifact:
    """Make an artifact of bytes, of the file at a path, or of a file that is open for reading bytes.

    In a task it belongs to the run once the task has returned it (or anything that contains it); one that is not
    returned is thrown away. Outside of runs, as in tests, it lives as long as the program. All is read, hashed and
    written before this returns: in a coroutine use `await asyncio.to_thread(artifact, data)` for what is large.

    Args:
        data: bytes-like, a `pathlib.Path`, or an object with `read`.
        media_type: what it is, for those who read it.

    Raises:
        TypeError: it is none of these; text, for one, has no bytes before it is encoded.
        FileNotFoundError: nothing is at the path.
        ArtifactTooLarge: it has more bytes than the engine allows.
    """
    return _desk_here().make(data, media_type)


def with_handles(value: Any) -> Any:
    """`value`, which was just decoded, with an `Artifact` in the place of every reference."""
    return _with_handles(value, _desk_here(), 0)


def _with_handles(value: Any, desk: Desk, depth: int) -> Any:
    kind = type(value)
    if kind is dict:
        found = named(value)
        if found is not None:
            return Artifact(desk, *found)
        items: Any = value.items()
    elif kind is list:
        items = enumerate(value)
    else:
        return value
    if depth < _MOST_DEPTH:
        for key, child in list(items):
            if type(child) is dict or type(child) is list:
                value[key] = _with_handles(child, desk, depth + 1)
    return value


def plain(value: Any, desk: Desk | None = None) -> Any:
    """A copy of `value` with references in the place of every `Artifact`; what is not JSON stays what it is.

    Args:
        value: anything.
        desk: where it is to be; by default that of this attempt. What was made elsewhere, as in a thread that knew
            nothing of the attempt, is made anew there.
    """
    return _plain(value, desk or _desk_here(), 0)


def _plain(value: Any, desk: Desk, depth: int) -> Any:
    if isinstance(value, Artifact):
        if value._desk is not desk:
            with value.open() as file:
                value = desk.make(file, value.media_type)
        return value.reference
    if depth > _MOST_DEPTH:
        return value
    if type(value) is list:
        return [_plain(child, desk, depth + 1) for child in value]
    if isinstance(value, dict):
        changed = {key: _plain(child, desk, depth + 1) for key, child in value.items()}
        return changed if type(value) is dict else type(value)(changed)
    return value


_lock = allocate_lock()
_own: Desk | None = None


def _desk_here() -> Desk:
    """The desk of the attempt that runs here; outside of attempts one that lasts as long as the program."""
    desk: Desk | None = getattr(_attempt.current.get(), "desk", None)
    if desk is not None:
        return desk
    global _own
    with _lock:
        if _own is None:
            setup, guard = _attempt.workshop or (None, None)
            if setup is None:
                _own = _LooseDesk()
            else:
                _own = Desk(setup["objects"], setup["staging"], setup["limit"], guard)
        return _own


class _LooseDesk(Desk):
    """Outside of runs: a folder for what is made, as soon as something is, and until the program ends."""

    def __init__(self) -> None:
        super().__init__("", "")

    def make(self, data: Any, media_type: str) -> Artifact:
        with self._lock:
            if not self.staging:
                self.staging = import_module("tempfile").mkdtemp(prefix="laneway-artifacts-")
                forget = import_module("shutil").rmtree
                import_module("atexit").register(forget, self.staging, ignore_errors=True)
        return super().make(data, media_type)
