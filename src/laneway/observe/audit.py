"""The audit log: who did what when, in append-only files whose lines are chained by hashes."""

import fcntl
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import msgspec

from laneway._core.errors import LanewayError
from laneway.observe._audit_chain import START, Head, Problem, check_line, line_of, lines_of

__all__ = ["AuditBroken", "AuditLog", "Problem", "Verdict", "entries", "verify"]

log = logging.getLogger("laneway.audit")

type Fsync = Literal["each", "rotate"]

_HEAD = "head"
_DIGITS = 20
_MAX_BYTES = 16 * 1024 * 1024


class AuditBroken(LanewayError):
    """The audit log's end is not what was written, so nothing can be appended to it."""

    code = "LW-OBS-001"
    template = "the audit log in {folder} was changed: {reason}. Keep it as evidence; start a new one in another folder"


class AuditLog:
    """Appends entries. Several processes may append to one folder; each append is whole, and in one place of the chain.

    Args:
        folder: made with mode 0700 if it is not there.
        max_bytes: a file that is larger is followed by a new one; the chain goes on across files.
        fsync: `each` forces every append to the disk, `rotate` only whole files and the end.
    """

    def __init__(self, folder: str | Path, *, max_bytes: int = _MAX_BYTES, fsync: Fsync = "rotate") -> None:
        self.folder = Path(folder)
        self._max_bytes = max_bytes
        self._fsync = fsync
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._head_fd = os.open(self.folder / _HEAD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._fd = -1
        self._file = 0

    def append(self, batch: Sequence[dict[str, Any]]) -> Head:
        """Write entries, in order, after whatever is there.

        Raises:
            AuditBroken: the end of the log was changed.
            OSError: nothing, or only a part, was written; what was is kept at the next append.
        """
        with self._alone():
            head = self._found()
            lines: list[bytes] = []
            size, seq, before, file = head.size, head.seq, head.hash, head.file
            for entry in batch:
                if size >= self._max_bytes:
                    self._write(b"".join(lines), file)
                    lines.clear()
                    self._finish_file()
                    file, size = file + 1, 0
                seq += 1
                line, before = line_of(entry, seq, before)
                lines.append(line)
                size += len(line)
            self._write(b"".join(lines), file)
            if self._fsync == "each":
                os.fsync(self._fd)
            return self._keep(Head(seq, before, file, size))

    def close(self) -> None:
        """Force what was written to the disk and release the files. Idempotent."""
        if self._fd >= 0:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._head_fd >= 0:
            os.close(self._head_fd)
            self._head_fd = -1

    @contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.flock(self._head_fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._head_fd, fcntl.LOCK_UN)

    def _found(self) -> Head:
        """Where the log ends; takes in what a process wrote that died before it noted so."""
        head = _read_head(os.pread(self._head_fd, 4096, 0)) or Head(0, START, 1, 0)
        self._open(head.file)
        size = os.fstat(self._fd).st_size
        if size == head.size and not _path(self.folder, head.file + 1).exists():
            return head
        if size < head.size:
            raise AuditBroken(folder=self.folder, reason=f"{_name(head.file)} is shorter than it was")
        while True:
            with open(self._path_now(), "rb") as stream:
                stream.seek(head.size)
                rest = stream.read()
            for line in lines_of(rest):
                problem, _, digest = check_line(line, head.seq + 1, head.hash)
                if problem == "the line is cut off":
                    os.ftruncate(self._fd, head.size)
                    break
                if problem:
                    raise AuditBroken(folder=self.folder, reason=problem)
                head = Head(head.seq + 1, digest, head.file, head.size + len(line))
            if not _path(self.folder, head.file + 1).exists():
                return self._keep(head)
            head = head._replace(file=head.file + 1, size=0)
            self._open(head.file)

    def _path_now(self) -> Path:
        return _path(self.folder, self._file)

    def _open(self, file: int) -> None:
        if self._fd >= 0 and self._file == file:
            return
        if self._fd >= 0:
            os.close(self._fd)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(_path(self.folder, file), flags, 0o600)
        self._file = file

    def _write(self, data: bytes, file: int) -> None:
        self._open(file)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def _finish_file(self) -> None:
        os.fsync(self._fd)

    def _keep(self, head: Head) -> Head:
        os.pwrite(self._head_fd, _head_text(head), 0)
        return head


def _head_text(head: Head) -> bytes:
    """Always of one length, so that writing over it leaves nothing of what was there."""
    return f"{head.seq:0{_DIGITS}} {head.hash} {head.file:0{_DIGITS}} {head.size:0{_DIGITS}}\n".encode()


def _read_head(data: bytes) -> Head | None:
    parts = data.decode("ascii", "replace").split()
    if len(parts) != 4 or not all(part.isdigit() for part in (parts[0], *parts[2:])):
        return None
    return Head(int(parts[0]), parts[1], int(parts[2]), int(parts[3]))


def _name(file: int) -> str:
    return f"{file:06}.jsonl"


def _path(folder: Path, file: int) -> Path:
    return folder / _name(file)


class Verdict(NamedTuple):
    """What `verify` found."""

    entries: int
    files: int
    hash: str
    """Of the last line: kept elsewhere, it shows later that everything up to here is still there."""
    problems: list[Problem]

    @property
    def is_intact(self) -> bool:
        """Whether the log is as it was written."""
        return not self.problems


def verify(folder: str | Path, *, anchor: tuple[int, str] | None = None) -> Verdict:
    """Read the whole log and name every line that is not what was written.

    Args:
        folder: the log's folder.
        anchor: number and hash of a line, as an earlier `verify` told them: it must still be there.
    """
    folder = Path(folder)
    problems: list[Problem] = []
    seq, before, files = 0, START, 0
    anchored = anchor is None or anchor == (0, START)
    for expected, path in enumerate(_files(folder), 1):
        files += 1
        if path.name != _name(expected):
            problems.append(Problem(path.name, 0, f"{_name(expected)} is missing"))
        for number, line in enumerate(lines_of(path.read_bytes()), 1):
            reason, entry, digest = check_line(line, seq + 1, before)
            if reason:
                problems.append(Problem(path.name, number, reason))
            given = entry.get("seq") if entry else None
            seq = given if isinstance(given, int) and not isinstance(given, bool) else seq + 1
            before = digest or before
            anchored = anchored or (not reason and anchor == (seq, digest))
    problems += _against_head(folder, seq, before)
    if not anchored and anchor is not None:
        problems.append(Problem("", 0, f"entry {anchor[0]} with the hash {anchor[1]} is not there"))
    return Verdict(seq, files, before, problems)


def _against_head(folder: Path, seq: int, before: str) -> list[Problem]:
    try:
        head = _read_head((folder / _HEAD).read_bytes())
    except FileNotFoundError:
        head = None
    if head is None:
        return [Problem(_HEAD, 0, "it is missing or unreadable")] if seq else []
    if head.seq > seq:
        return [Problem(_name(head.file), 0, f"the last {head.seq - seq} entries are missing")]
    if head.seq == seq and head.hash != before:
        return [Problem(_name(head.file), 0, "the last entry is not the one that was written")]
    if head.seq < seq:
        return [] if _reaches(folder, head) else [Problem(_HEAD, 0, "entries were put in")]
    return []


def _reaches(folder: Path, head: Head) -> bool:
    """Whether the chain passes through the noted end: then a process died before it noted its last lines."""
    return head.seq == 0 or any(
        entry.get("seq") == head.seq and entry.get("hash") == head.hash for entry in entries(folder)
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdigit())


def entries(folder: str | Path) -> Iterator[dict[str, Any]]:
    """All entries that can be read, oldest first, unchecked."""
    for path in _files(Path(folder)):
        for line in lines_of(path.read_bytes()):
            try:
                entry: Any = msgspec.json.decode(line)
            except msgspec.DecodeError, UnicodeDecodeError, RecursionError:
                continue
            if isinstance(entry, dict):
                yield cast("dict[str, Any]", entry)


def chosen(
    found: Iterable[dict[str, Any]], *, what: str | None = None, run: str | None = None
) -> Iterator[dict[str, Any]]:
    """Those of a kind, or about a run whose id begins so."""
    for entry in found:
        if (what is None or entry.get("what") == what) and (
            run is None or str(entry.get("run", "")).startswith(run)
        ):
            yield entry
