"""A strict reader of the one kind of tar that Laneway writes: plain files, ustar headers, long names by pax.

`tarfile` reads links, devices, sparse files and several dialects, and takes header sizes on trust; a reader that
knows a single form has nothing to be talked into. Memory is bounded by one block, whatever the archive claims.
"""

import hashlib
from collections.abc import Callable, Iterator
from compression import zstd
from tarfile import BLOCKSIZE, PAX_FORMAT, TarInfo
from typing import BinaryIO, NamedTuple, NoReturn, Protocol

__all__ = [
    "ArchiveLimits",
    "Refuse",
    "TarEntry",
    "TarStream",
    "Write",
    "copy_hashed",
    "header_of",
    "padding_of",
]

_BLOCK_BYTES = 65536
_MOST_PAX_BYTES = 4096
_WINDOW_LOG = 25
"""32 MiB: the most memory that decompression may ask for."""
_RATIO_FREE_BYTES = 64 << 20
"""Below this much content the ratio is not looked at: small files of one letter are harmless."""

_MAGIC = b"\x28\xb5\x2f\xfd"
_TYPES = {
    b"1": ("hard-link", "a hard link"),
    b"2": ("symbolic-link", "a symbolic link"),
    b"3": ("device", "a character device"),
    b"4": ("device", "a block device"),
    b"5": ("folder-entry", "a folder entry"),
    b"6": ("fifo", "a named pipe"),
    b"7": ("odd-type", "a contiguous file"),
    b"S": ("sparse-file", "a sparse file"),
    b"L": ("odd-type", "a GNU long name"),
    b"K": ("odd-type", "a GNU long link"),
    b"g": ("odd-type", "a global pax header"),
}


class ArchiveLimits(NamedTuple):
    """Bounds that an archive must keep, checked before anything is written."""

    archive_bytes: int = 1 << 30
    total_bytes: int = 2 << 30
    file_bytes: int = 1 << 30
    files: int = 50_000
    ratio: int = 200
    """Content to archive size, looked at above 64 MiB of content."""


class Refuse(Protocol):
    """Raises ArchiveRefused with the archive's name filled in."""

    def __call__(self, rule: str, reason: str, entry: str = "") -> NoReturn: ...


class TarEntry(NamedTuple):
    """The header of one file."""

    name: str
    size_bytes: int


class TarStream:
    """Entries of a zstd-compressed tar, read front to back with bounded memory.

    Args:
        file: the archive, positioned at its start.
        archive_bytes: its size.
        limits: the bounds to keep.
        refuse: raises for a broken rule.
    """

    def __init__(self, file: BinaryIO, archive_bytes: int, limits: ArchiveLimits, refuse: Refuse) -> None:
        self._file = file
        self._archive_bytes = archive_bytes
        self._limits = limits
        self._refuse = refuse
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
        self._decompressor = zstd.ZstdDecompressor(options=options)
        self._ready = bytearray()
        self._unread = True
        self._unpacked = 0
        self._most = limits.total_bytes + limits.files * (4 * BLOCKSIZE) + (32 << 20)

    def entries(self) -> Iterator[TarEntry]:
        """Headers in order. The content of each must be read with `blocks` before the next is asked for."""
        name: str | None = None
        while True:
            block = self._exactly(BLOCKSIZE)
            if not block.strip(b"\0"):
                self._finish()
                return
            size, kind = self._header(block)
            if kind == b"x":
                name = self._pax_name(size)
                continue
            found = name if name is not None else self._name(block)
            name = None
            if kind not in (b"0", b"\0"):
                rule, what = _TYPES.get(kind, ("odd-type", f"of the unknown type {kind!r}"))
                self._refuse(rule, f"an entry is {what}", found)
            if size > self._limits.file_bytes:
                self._refuse(
                    "file-size",
                    f"a file claims {size:,} bytes; {self._limits.file_bytes:,} is the most",
                    found,
                )
            yield TarEntry(found, size)

    def blocks(self, size_bytes: int) -> Iterator[bytes]:
        """The content of the entry whose header was read last, in blocks."""
        left = size_bytes
        while left:
            block = self._exactly(min(left, _BLOCK_BYTES))
            left -= len(block)
            yield block
        padding = self._exactly(-size_bytes % BLOCKSIZE)
        if padding.strip(b"\0"):
            self._refuse("hidden-data", "there is data where padding belongs")

    def _header(self, block: bytes) -> tuple[int, bytes]:
        if block[257:265] != b"ustar\x0000":
            self._refuse("not-tar", "an entry's header is not that of a POSIX tar")
        total = sum(block) - sum(block[148:156]) + 8 * 0x20
        if self._number(block[148:156]) != total:
            self._refuse("header-checksum", "an entry's header does not have the checksum it states")
        return self._number(block[124:136]), block[156:157]

    def _number(self, field: bytes) -> int:
        digits = field.rstrip(b"\0 ").lstrip(b" ")
        if not digits or digits.strip(b"01234567"):
            self._refuse("header-number", "a number in an entry's header is not written in octal digits")
        return int(digits, 8)

    def _name(self, block: bytes) -> str:
        name, prefix = block[:100].split(b"\0")[0], block[345:500].split(b"\0")[0]
        return self._text(prefix + b"/" + name if prefix else name)

    def _pax_name(self, size: int) -> str:
        if size > _MOST_PAX_BYTES:
            self._refuse(
                "pax-header", f"an extended header has {size:,} bytes; {_MOST_PAX_BYTES:,} is the most"
            )
        content = b"".join(self.blocks(size))
        length, space, rest = content.partition(b" ")
        key, equals, value = rest.partition(b"=")
        if not (
            space and equals and length.isdigit() and int(length) == len(content) and value.endswith(b"\n")
        ):
            self._refuse("pax-header", "an extended header is not one line in the form of POSIX")
        if key != b"path":
            self._refuse("pax-header", f"an extended header sets {key[:40]!r}; only long names are accepted")
        return self._text(value[:-1])

    def _text(self, name: bytes) -> str:
        try:
            return name.decode()
        except UnicodeDecodeError:
            self._refuse("name-encoding", "an entry's name is not UTF-8", ascii(name[:80]))

    def _finish(self) -> None:
        """After the end of the tar: one more empty block, and nothing else."""
        if self._exactly(BLOCKSIZE).strip(b"\0"):
            self._refuse("trailing-data", "there is data after the end of the tar")
        block = bytes(self._ready) or self._some()
        while block:
            if block.strip(b"\0"):
                self._refuse("trailing-data", "there is data after the end of the tar")
            block = self._some()
        if self._decompressor.unused_data or self._file.read(1):
            self._refuse("trailing-data", "there is data after the end of the compressed stream")

    def _exactly(self, count: int) -> bytes:
        while len(self._ready) < count:
            block = self._some()
            if not block:
                self._refuse("truncated", "the archive ends too early")
            self._ready += block
        taken = bytes(self._ready[:count])
        del self._ready[:count]
        return taken

    def _some(self) -> bytes:
        """More content, or nothing at the end of the stream."""
        while not self._decompressor.eof:
            data = self._file.read(_BLOCK_BYTES) if self._decompressor.needs_input else b""
            if not data and self._decompressor.needs_input:
                self._refuse("truncated", "the archive ends too early")
            if self._unread:
                self._unread = False
                if not _MAGIC.startswith(data[: len(_MAGIC)]):
                    self._refuse("not-zstd", "it is not a zstd stream")
            try:
                block = self._decompressor.decompress(data, max_length=_BLOCK_BYTES)
            except zstd.ZstdError as error:
                rule = "window" if "memory" in str(error) else "corrupt"
                self._refuse(rule, f"the archive cannot be decompressed ({error})")
            if block:
                self._count(len(block))
                return block
        return b""

    def _count(self, size: int) -> None:
        self._unpacked += size
        if self._unpacked > self._most:
            self._refuse("total-size", f"the content has more than {self._most:,} bytes")
        if self._unpacked > max(_RATIO_FREE_BYTES, self._archive_bytes * self._limits.ratio):
            self._refuse(
                "ratio", f"the content is more than {self._limits.ratio} times as large as the archive"
            )


def header_of(name: str, size_bytes: int) -> bytes:
    """The tar header of a plain file without owner, time or mode of its own."""
    info = TarInfo(name)
    info.size = size_bytes
    info.mode = 0o644
    return info.tobuf(PAX_FORMAT, "utf-8", "strict")


def padding_of(size_bytes: int) -> bytes:
    """What fills a file's content up to the next tar block."""
    return b"\0" * (-size_bytes % BLOCKSIZE)


type Write = Callable[[bytes], object]


def copy_hashed(file: BinaryIO, write: Write) -> tuple[str, int]:
    """Copy a file block by block; returns SHA-256 and size of what was copied."""
    digest = hashlib.sha256()
    size = 0
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        size += len(block)
        write(block)
    return digest.hexdigest(), size
