"""Extracted archives, found by the hash of their content and shared by all engines of a machine."""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

from laneway._core.errors import PackageInUse, PackageUnreadable
from laneway.packages._record import FileEntry, files_of
from laneway.packages.archive import ArchiveHead, ArchiveLimits, extract_archive, read_head
from laneway.packages.discoveries import Discoveries
from laneway.packages.hold import Hold

__all__ = ["PackageCache"]

_SLOTS = 8
"""Places for one content: a tree that somebody changed while an engine uses it is left alone and another is taken."""
_POLL_SECONDS = 0.05
_UNUSED_SECONDS = 30 * 86400.0


class PackageCache:
    """A folder of extracted archives.

    `<hash>/` holds one package's files and `<hash>.lock` is locked by all who use them: shared by engines,
    exclusively by who removes them. A tree appears under its name in one rename, complete or not at all. What a
    killed process left behind is removed by the next one. `discovered/` holds what workers found in packages.

    Args:
        folder: made when needed.
        limits: bounds for archives.
        keeps: hold what was taken until `close`, for callers who let go of their holds too early.
    """

    def __init__(self, folder: Path, limits: ArchiveLimits | None = None, *, keeps: bool = False) -> None:
        self.folder = Path(folder).absolute()
        self._limits = limits or ArchiveLimits()
        self._swept = False
        self._guard = threading.Lock()
        self._keeps = keeps
        self.discoveries = Discoveries(self.folder / "discovered")
        """What is known of packages, extracted ones and folders."""
        self._kept: dict[Path, Hold] = {}

    def take(
        self, archive: Path, check: Callable[[ArchiveHead], object] | None = None
    ) -> tuple[ArchiveHead, Hold]:
        """The files of an archive, extracted once and verified against RECORD now, and a hold on them.

        `check` sees the head before any file is used or written; it raises to refuse the package.

        Raises:
            ArchiveRefused, ManifestInvalid, PackageUnreadable: nothing is left on disk.
        """
        head = read_head(archive, limits=self._limits)
        if check is not None:
            check(head)
        self._prepare(archive)
        for slot in range(_SLOTS):
            root = self.folder / (head.content_hash if slot == 0 else f"{head.content_hash}-{slot}")
            lock = self._lock(root, fcntl.LOCK_SH)
            try:
                if self._fill(archive, head, root, lock):
                    return head, self._held(root, lock)
            finally:
                self._leave(root, lock)
        reason = f"its extracted files in {str(self.folder)!r} keep being changed by somebody"
        raise PackageUnreadable(
            package=str(archive), reason=reason, advice="Remove that folder while nothing runs"
        )

    def close(self) -> None:
        """Let go of what was kept. Idempotent."""
        with self._guard:
            kept = [*self._kept.values()]
            self._kept.clear()
        for hold in kept:
            hold.close()

    def trees(self, content_hash: str) -> list[Path]:
        """Extracted trees of that content."""
        return sorted(path for path in self.folder.glob(f"{content_hash}*") if path.is_dir())

    def remove(self, content_hash: str, *, wait_seconds: float = 0.0, label: str = "") -> int:
        """Remove the extracted files of one content, waiting for those who use them; returns how many trees went.

        Args:
            content_hash: whose files.
            wait_seconds: how long to wait for their users.
            label: what to call the package in errors.

        Raises:
            PackageInUse: somebody still uses them after `wait_seconds`; nothing was removed.
        """
        removed = 0
        self.discoveries.forget(content_hash)
        deadline = time.monotonic() + wait_seconds
        for root in self.trees(content_hash):
            lock = self._exclusive(root, deadline, label)
            try:
                removed += self._discard(root)
                root.with_name(f"{root.name}.lock").unlink(missing_ok=True)
            finally:
                os.close(lock)
        return removed

    def prune(self, unused_seconds: float = _UNUSED_SECONDS) -> int:
        """Remove trees that nobody uses and nobody took for that long; returns how many went.

        A package that is opened again is extracted again. Every process prunes once, before its first package.
        """
        removed = 0
        for lock_file in self.folder.glob("*.lock"):
            root = lock_file.with_suffix("")
            with contextlib.suppress(OSError, PackageInUse):
                if root.is_dir() and time.time() - lock_file.stat().st_mtime >= unused_seconds:
                    lock = self._exclusive(root, 0.0)
                    try:
                        removed += self._discard(root)
                        lock_file.unlink(missing_ok=True)
                    finally:
                        os.close(lock)
        return removed

    def _held(self, root: Path, lock: int) -> Hold:
        os.utime(lock)
        if not self._keeps:
            return Hold(root, os.dup(lock))
        with self._guard:
            kept = self._kept.get(root)
            if kept is None or not kept.is_open:
                kept = self._kept[root] = Hold(root, os.dup(lock))
            return kept

    def _fill(self, archive: Path, head: ArchiveHead, root: Path, lock: int) -> bool:
        """True when `root` holds the content, extracting it if it is not there."""
        if root.is_dir():
            if _is_intact(root, head.files):
                return True
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._discard(root)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if root.exists():
                return False
        with self._staging() as staging:
            extract_archive(archive, staging, limits=self._limits, check=_same_as(archive, head))
            try:
                os.rename(staging, root)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise _unusable(archive, root, error) from error
        return _is_intact(root, head.files)

    def _leave(self, root: Path, lock: int) -> None:
        """Let go of a lock; its file goes too where there is no tree and nobody else waits for one."""
        try:
            if not root.exists():
                with contextlib.suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    root.with_name(f"{root.name}.lock").unlink()
        finally:
            os.close(lock)

    @contextlib.contextmanager
    def _staging(self) -> Generator[Path]:
        """A new empty folder; gone afterwards unless it was renamed. Its lock tells others that it is in use."""
        descriptor, name = tempfile.mkstemp(prefix="staging-", suffix=".lock", dir=self.folder)
        folder = Path(name.removesuffix(".lock"))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            folder.mkdir(mode=0o700)
            folder.chmod(0o755)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            Path(name).unlink(missing_ok=True)
            os.close(descriptor)

    def _prepare(self, archive: Path) -> None:
        with self._guard:
            try:
                for folder in reversed([self.folder, *self.folder.parents]):
                    if not folder.exists():
                        folder.mkdir(mode=0o700, exist_ok=True)
                        folder.chmod(0o755 if folder != self.folder else 0o700)
                if self.folder.stat().st_mode & stat.S_IWOTH:
                    raise PermissionError(errno.EPERM, "everybody may write there")
                if not self._swept:
                    self._sweep()
                    self.prune()
                    self._swept = True
            except OSError as error:
                raise _unusable(archive, self.folder, error) from error

    def _sweep(self) -> None:
        """Remove staging folders whose maker is gone."""
        for lock_file in self.folder.glob("staging-*.lock"):
            with contextlib.suppress(OSError):
                descriptor = os.open(lock_file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
                    lock_file.unlink(missing_ok=True)
                finally:
                    os.close(descriptor)

    def _discard(self, root: Path) -> int:
        """Take a tree out of sight in one rename, then remove it; 0 if another process did so first."""
        if not root.exists():
            return 0
        with self._staging() as staging:
            os.rename(root, staging / "old")
        return 1

    def _exclusive(self, root: Path, deadline: float, label: str = "") -> int:
        while True:
            with contextlib.suppress(BlockingIOError):
                return self._lock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.monotonic() >= deadline:
                reason = f"an engine still uses its files in {str(root)!r}"
                raise PackageInUse(
                    package=label or root.name[:12],
                    reason=reason,
                    advice="Wait for its runs, or stop that engine",
                )
            time.sleep(_POLL_SECONDS)

    def _lock(self, root: Path, how: int) -> int:
        """Lock the tree's lock file; again if another process removed that file meanwhile."""
        path = root.with_name(f"{root.name}.lock")
        while True:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise _unusable(root, path, error) from error
            try:
                fcntl.flock(descriptor, how)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                        return descriptor
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _same_as(archive: Path, head: ArchiveHead) -> Callable[[ArchiveHead], None]:
    def check(found: ArchiveHead) -> None:
        if (found.record, found.signature) != (head.record, head.signature):
            raise PackageUnreadable(
                package=str(archive), reason="it was replaced while it was read", advice="Try again"
            )

    return check


def _is_intact(root: Path, files: tuple[FileEntry, ...]) -> bool:
    try:
        return files_of(root, root.name) == files
    except OSError, PackageUnreadable:
        return False


def _unusable(archive: Path, place: Path, error: OSError) -> PackageUnreadable:
    reason = f"its files cannot be kept in {str(place)!r} ({error.strerror or error})"
    return PackageUnreadable(package=str(archive), reason=reason, advice="Set another folder for packages")
