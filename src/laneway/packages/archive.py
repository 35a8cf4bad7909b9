"""`.lane` archives: written reproducibly, read strictly, front to back, every file checked against RECORD.

The order is fixed: `laneway.toml`, `RECORD`, `SIGNATURE` if there is one, then the files in RECORD's order. So all
sizes and hashes are known, and the signature can be checked, before the first file is written.
"""

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Callable, Generator
from compression import zstd
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import BinaryIO, NoReturn

import msgspec

from laneway._core.errors import ArchiveRefused, PackageUnreadable
from laneway.packages._record import RECORD_NAME, SIGNATURE_NAME, FileEntry, record_text
from laneway.packages._tar import ArchiveLimits, TarEntry, TarStream, copy_hashed, header_of, padding_of
from laneway.packages.manifest import MANIFEST_NAME, Manifest, read_manifest
from laneway.packages.names import BadName, NameLedger, bad_name
from laneway.packages.package import Package

__all__ = [
    "SUFFIX",
    "ArchiveHead",
    "ArchiveLimits",
    "build_archive",
    "extract_archive",
    "read_head",
    "verify_archive",
]

SUFFIX = ".lane"
_MOST_MANIFEST_BYTES = 256 * 1024
_MOST_RECORD_BYTES = 16 << 20
_MOST_SIGNATURE_BYTES = 64 * 1024
_RECORD_LINE = re.compile(r"([0-9a-f]{64}) (0|[1-9][0-9]{0,14}) ([^\n]+)")
_ADVICE = "Do not use it; get it again from where it was built, and `laneway package verify` it"
_FILE_TIME = 315_532_800
"""1 January 1980: extracted files have one time, so that byte code made from them stays valid."""
_LEVEL = 12


class ArchiveHead(msgspec.Struct, frozen=True):
    """What stands at the front of an archive. `files` are those that RECORD lists."""

    manifest: Manifest
    files: tuple[FileEntry, ...]
    record: bytes
    signature: bytes
    archive_bytes: int

    @property
    def content_hash(self) -> str:
        """SHA-256 over RECORD in hex."""
        return hashlib.sha256(self.record).hexdigest()


type CheckHead = Callable[[ArchiveHead], object]
"""Called with the head before the first file is read; raises to refuse the package."""


def build_archive(package: Package, target: Path, *, signature: bytes = b"") -> int:
    """Pack a package folder into one file, replacing `target` at once; returns its size in bytes.

    The same files give the same bytes on any machine with the same zstd library.

    Raises:
        ArchiveRefused: a file has a name that no archive may have.
        PackageUnreadable: a file changed while it was packed, or the target cannot be written.
    """
    refuse = _refuser(package.label)
    ledger = NameLedger()
    for one in package.files:
        found = bad_name(one.path) or ledger.add(one.path)
        if found:
            refuse(found.rule, found.reason, one.path)
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: _LEVEL,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".laneway-", delete=False) as raw:
            temporary = raw.name
            with zstd.ZstdFile(raw, "w", options=options) as packed:
                _write(package, signature, packed.write)
            os.fchmod(raw.fileno(), 0o644)
        os.replace(temporary, target)
    except OSError as error:
        reason = f"{str(target)!r} cannot be written ({error.strerror or error})"
        raise PackageUnreadable(
            package=package.label, reason=reason, advice="Choose another --output"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    return target.stat().st_size


def _write(package: Package, signature: bytes, write: Callable[[bytes], object]) -> None:
    record = record_text(package.files).encode()
    by_path = {one.path: one for one in package.files}
    _write_file(package, by_path[MANIFEST_NAME], write)
    for name, content in ((RECORD_NAME, record), (SIGNATURE_NAME, signature)):
        if content:
            write(header_of(name, len(content)) + content + padding_of(len(content)))
    for one in package.files:
        if one.path != MANIFEST_NAME:
            _write_file(package, one, write)
    write(b"\0" * (2 * BLOCKSIZE))


def _write_file(package: Package, one: FileEntry, write: Callable[[bytes], object]) -> None:
    write(header_of(one.path, one.size_bytes))
    with (package.root / one.path).open("rb") as file:
        copied = copy_hashed(file, write)
    if copied != (one.sha256, one.size_bytes):
        reason = f"{one.path} changed while it was packed"
        raise PackageUnreadable(package=package.label, reason=reason, advice="Build it again")
    write(padding_of(one.size_bytes))


def read_head(path: Path, *, limits: ArchiveLimits | None = None) -> ArchiveHead:
    """Manifest, RECORD and signature of an archive, without reading the rest.

    Raises:
        ArchiveRefused, ManifestInvalid, PackageUnreadable: as `extract_archive`.
    """
    with _opened(path, limits or ArchiveLimits()) as reader:
        return reader.head()


def verify_archive(
    path: Path, *, limits: ArchiveLimits | None = None, check: CheckHead | None = None
) -> ArchiveHead:
    """Read an archive to its end and check every byte against RECORD; writes nothing.

    Raises:
        ArchiveRefused, ManifestInvalid, PackageUnreadable: as `extract_archive`.
    """
    with _opened(path, limits or ArchiveLimits()) as reader:
        return reader.read_all(None, check)


def extract_archive(
    path: Path, into: Path, *, limits: ArchiveLimits | None = None, check: CheckHead | None = None
) -> ArchiveHead:
    """Extract an archive into the empty folder `into`. On any error the caller removes that folder.

    Nothing outside `into` is touched, whatever the archive says. Memory stays bounded.

    Raises:
        ArchiveRefused: the archive breaks a rule; `rule` and `entry` name it.
        ManifestInvalid: `laneway.toml` has mistakes.
        PackageUnreadable: the archive cannot be read, or `into` cannot be written.
    """
    with _opened(path, limits or ArchiveLimits()) as reader:
        try:
            return reader.read_all(into, check)
        except OSError as error:
            reason = f"it cannot be extracted to {str(into)!r} ({error.strerror or error})"
            raise PackageUnreadable(
                package=str(path), reason=reason, advice="Check free space and permissions"
            ) from error


@contextlib.contextmanager
def _opened(path: Path, limits: ArchiveLimits) -> Generator[_Reader]:
    refuse = _refuser(str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = f"it cannot be opened ({error.strerror})"
        raise PackageUnreadable(
            package=str(path), reason=reason, advice="Give a .lane file that can be read"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            refuse("not-a-file", "it is not a regular file")
        if status.st_size == 0:
            refuse("empty", "it is empty")
        if status.st_size > limits.archive_bytes:
            refuse("archive-size", f"it has {status.st_size:,} bytes; {limits.archive_bytes:,} is the most")
        yield _Reader(file, status.st_size, limits, refuse, str(path))


class _Refuser:
    def __init__(self, package: str) -> None:
        self._package = package

    def __call__(self, rule: str, reason: str, entry: str = "") -> NoReturn:
        named = f"{reason}: {_shown(entry)}" if entry else reason
        raise ArchiveRefused(package=self._package, rule=rule, entry=entry, reason=named, advice=_ADVICE)


def _refuser(package: str) -> _Refuser:
    return _Refuser(package)


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 100 else f"{name[:100]}...")


class _Reader:
    """One pass over one archive."""

    def __init__(
        self, file: BinaryIO, size: int, limits: ArchiveLimits, refuse: _Refuser, source: str
    ) -> None:
        self._stream = TarStream(file, size, limits, refuse)
        self._entries = self._stream.entries()
        self._ledger = NameLedger()
        self._limits = limits
        self._refuse = refuse
        self._source = source
        self._size = size
        self._manifest = b""
        self._after: TarEntry | None = None
        """The entry after the head, whose header was read already."""

    def head(self) -> ArchiveHead:
        """Read up to the first file."""
        content = self._small(self._next(), MANIFEST_NAME, _MOST_MANIFEST_BYTES)
        record = self._small(self._next(), RECORD_NAME, _MOST_RECORD_BYTES)
        files = self._listed(record)
        self._manifest = content
        listed = next((one for one in files if one.path == MANIFEST_NAME), None)
        if listed is None or listed.sha256 != hashlib.sha256(content).hexdigest():
            self._refuse("wrong-hash", "a file's content is not what RECORD says", MANIFEST_NAME)
        signature = b""
        self._after = self._next()
        if self._after is not None and self._after.name == SIGNATURE_NAME:
            signature = self._small(self._after, SIGNATURE_NAME, _MOST_SIGNATURE_BYTES)
            self._after = self._next()
        manifest = read_manifest(content, source=f"{self._source}/{MANIFEST_NAME}")
        return ArchiveHead(
            manifest=manifest, files=files, record=record, signature=signature, archive_bytes=self._size
        )

    def read_all(self, into: Path | None, check: CheckHead | None) -> ArchiveHead:
        """Read everything; with `into`, write it there."""
        head = self.head()
        if check is not None:
            check(head)
        expected = {one.path: one for one in head.files if one.path != MANIFEST_NAME}
        for name, content in (
            (MANIFEST_NAME, self._manifest),
            (RECORD_NAME, head.record),
            (SIGNATURE_NAME, head.signature),
        ):
            if content:
                with _writing(into, name) as write:
                    write(content)
        order = iter(expected.values())
        entry = self._after
        while entry is not None:
            wanted = next(order, None)
            if entry.name not in expected:
                self._refuse("unlisted-file", "an entry is not listed in RECORD", entry.name)
            if wanted is None or wanted.path != entry.name:
                self._refuse("wrong-order", "entries are not in the order of RECORD", entry.name)
            self._file(entry, wanted, into)
            entry = self._next()
        missing = next(order, None)
        if missing is not None:
            self._refuse("missing-file", "RECORD lists a file that is not in the archive", missing.path)
        return head

    def _next(self) -> TarEntry | None:
        entry = next(self._entries, None)
        if entry is not None:
            found = bad_name(entry.name) or self._ledger.add(entry.name)
            if found:
                self._refuse_name(found, entry.name)
        return entry

    def _refuse_name(self, found: BadName, name: str) -> NoReturn:
        self._refuse(found.rule, found.reason, name)

    def _small(self, entry: TarEntry | None, name: str, most: int) -> bytes:
        if entry is None or entry.name != name:
            there = f"{_shown(entry.name)} is" if entry else "nothing is"
            self._refuse("wrong-head", f"{name} belongs here and {there} here")
        if entry.size_bytes > most:
            self._refuse("head-size", f"it claims {entry.size_bytes:,} bytes; {most:,} is the most", name)
        return b"".join(self._stream.blocks(entry.size_bytes))

    def _listed(self, record: bytes) -> tuple[FileEntry, ...]:
        try:
            lines = record.decode().split("\n")
        except UnicodeDecodeError:
            self._refuse("bad-record", "RECORD is not UTF-8")
        if lines.pop() != "":
            self._refuse("bad-record", "RECORD does not end with a line end")
        if len(lines) > self._limits.files:
            self._refuse(
                "file-count", f"RECORD lists {len(lines):,} files; {self._limits.files:,} is the most"
            )
        files: list[FileEntry] = []
        ledger = NameLedger()
        total = 0
        for number, line in enumerate(lines, 1):
            match = _RECORD_LINE.fullmatch(line)
            if match is None:
                self._refuse("bad-record", f"line {number} of RECORD is not `sha256 size path`")
            one = FileEntry(sha256=match[1], size_bytes=int(match[2]), path=match[3])
            found = bad_name(one.path) or ledger.add(one.path)
            if found:
                self._refuse_name(found, one.path)
            if one.path in (RECORD_NAME, SIGNATURE_NAME) or (files and files[-1].path >= one.path):
                self._refuse(
                    "bad-record", f"line {number} of RECORD is out of order or does not belong there"
                )
            if one.size_bytes > self._limits.file_bytes:
                most = f"{self._limits.file_bytes:,}"
                self._refuse(
                    "file-size", f"a file claims {one.size_bytes:,} bytes; {most} is the most", one.path
                )
            total += one.size_bytes
            files.append(one)
        if total > self._limits.total_bytes:
            self._refuse(
                "total-size", f"the files have {total:,} bytes; {self._limits.total_bytes:,} is the most"
            )
        return tuple(files)

    def _file(self, entry: TarEntry, wanted: FileEntry, into: Path | None) -> None:
        if entry.size_bytes != wanted.size_bytes:
            self._refuse("wrong-size", "a file does not have the size that RECORD says", entry.name)
        digest = hashlib.sha256()
        with _writing(into, entry.name) as write:
            for block in self._stream.blocks(entry.size_bytes):
                digest.update(block)
                write(block)
        if digest.hexdigest() != wanted.sha256:
            self._refuse("wrong-hash", "a file's content is not what RECORD says", entry.name)


@contextlib.contextmanager
def _writing(into: Path | None, name: str) -> Generator[Callable[[bytes], object]]:
    """A function that writes to `name` in `into`, or nowhere. Modes do not depend on the umask."""
    if into is None:
        yield _nowhere
        return
    folder = into
    for part in name.split("/")[:-1]:
        folder /= part
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            folder.chmod(0o755)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(into / name, flags, 0o600), "wb") as file:
        yield file.write
        os.fchmod(file.fileno(), 0o644)
    os.utime(into / name, (_FILE_TIME, _FILE_TIME))


def _nowhere(block: bytes) -> None:
    del block
