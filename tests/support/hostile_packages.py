"""Archives that break one rule each. Used by the tests and as seeds of the fuzzer."""

import base64
import hashlib
import random
import tarfile
from collections.abc import Callable, Iterator
from compression import zstd
from typing import NamedTuple

from laneway.packages._tar import header_of, padding_of

MANIFEST = b'[package]\nname = "shop"\nversion = "1.0"\nentry_module = "shop_tasks"\n'
FILES = {"src/shop_tasks.py": b"x = 1\n"}


class Case(NamedTuple):
    """A broken archive: what it is, the rule that refuses it, its bytes."""

    name: str
    rule: str
    content: bytes


def entry(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """One tar member of any kind."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o644
    info.size = len(content)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + content + padding_of(len(content))


def fixed(header: bytes) -> bytes:
    """A header with its checksum made right again."""
    total = sum(header[:148]) + sum(header[156:512]) + 8 * 0x20
    return header[:148] + b"%06o\0 " % total + header[156:]


def patched(header: bytes, start: int, field: bytes) -> bytes:
    """A header with one field replaced and a right checksum."""
    return fixed(header[:start] + field + header[start + len(field) :])


def record_of(files: dict[str, bytes]) -> bytes:
    """RECORD for these files, in order."""
    lines = [
        f"{hashlib.sha256(files[path]).hexdigest()} {len(files[path])} {path}\n" for path in sorted(files)
    ]
    return "".join(lines).encode()


def packed(tar: bytes, *, end: bytes = b"\0" * 1024) -> bytes:
    """A tar compressed as an archive is."""
    return zstd.compress(tar + end, options={zstd.CompressionParameter.checksum_flag: 1})


def head(files: dict[str, bytes], *, record: bytes | None = None, manifest: bytes = MANIFEST) -> bytes:
    """Manifest and RECORD as they stand at the front."""
    listed = record_of({"laneway.toml": manifest} | files) if record is None else record
    return entry("laneway.toml", manifest) + entry("RECORD", listed)


def archive(
    files: dict[str, bytes], *, record: bytes | None = None, body: bytes | None = None, extra: bytes = b""
) -> bytes:
    """A whole archive; any part may be given wrong."""
    members = b"".join(entry(path, files[path]) for path in sorted(files)) if body is None else body
    return packed(head(files, record=record) + extra + members)


def good() -> bytes:
    """An archive without a fault."""
    return archive(FILES)


def _line(path: str, content: bytes = b"", *, size: str = "", sha: str = "") -> bytes:
    return f"{sha or hashlib.sha256(content).hexdigest()} {size or len(content)} {path}\n".encode()


def _record(*lines: bytes) -> bytes:
    return b"".join([_line("laneway.toml", MANIFEST), *lines])


def name_cases() -> Iterator[Case]:
    """Names that lead elsewhere, collide, or cannot be seen; in the tar and in RECORD."""
    names = {
        "absolute path": ("/etc/cron.d/evil", "absolute-path"),
        "two slashes first": ("//srv/evil", "absolute-path"),
        "parent path": ("../evil.py", "parent-path"),
        "parent inside": ("src/../../evil.py", "parent-path"),
        "parent at the end": ("src/..", "parent-path"),
        "dot part": ("src/./a.py", "odd-path"),
        "empty part": ("src//a.py", "odd-path"),
        "trailing slash": ("src/a/", "odd-path"),
        "backslash parent": ("src\\..\\..\\evil.py", "backslash"),
        "drive letter": ("C:/evil.py", "colon"),
        "alternate stream": ("src/a.py:hidden", "colon"),
        "right-to-left override": ("src/\u202eyp.exe", "invisible-character"),
        "zero width space": ("src/a\u200b.py", "invisible-character"),
        "line feed": ("src/a\n.py", "invisible-character"),
        "escape sequence": ("src/\x1b[2J.py", "invisible-character"),
        "private use": ("src/\ue000.py", "invisible-character"),
        "decomposed letter": ("src/u\u0308.py", "not-normalised"),
        "long part": (f"src/{'a' * 300}.py", "long-name"),
        "long path": ("src/" + "/".join(["b" * 90] * 6), "long-name"),
        "long multi-byte part": (f"src/{'ü' * 110}.py", "long-name"),
        "deep path": ("src/" + "/".join("c" * 40), "deep-path"),
        "trailing dot": ("src/a.py.", "trailing-dot"),
        "trailing space": ("src/a.py ", "trailing-dot"),
        "cached byte code": ("src/__pycache__/shop_tasks.cpython-314.pyc", "byte-code"),
        "outside the package": ("bin/sh", "wrong-place"),
        "hidden at the top": (".bashrc", "wrong-place"),
        "folder name alone": ("src", "wrong-place"),
    }
    for what, (name, rule) in names.items():
        yield Case(f"{what} in the tar", rule, archive(FILES, extra=entry(name, b"evil")))
        if "\n" not in name:
            lines = sorted(
                [(name, _line(name)), ("src/shop_tasks.py", _line("src/shop_tasks.py", b"x = 1\n"))]
            )
            yield Case(
                f"{what} in RECORD", rule, archive(FILES, record=_record(*[line for _, line in lines]))
            )


def type_cases() -> Iterator[Case]:
    """Members that are not plain files."""
    kinds = {
        "symbolic link": (tarfile.SYMTYPE, "symbolic-link"),
        "hard link": (tarfile.LNKTYPE, "hard-link"),
        "character device": (tarfile.CHRTYPE, "device"),
        "block device": (tarfile.BLKTYPE, "device"),
        "named pipe": (tarfile.FIFOTYPE, "fifo"),
        "folder": (tarfile.DIRTYPE, "folder-entry"),
        "contiguous file": (tarfile.CONTTYPE, "odd-type"),
        "sparse file": (tarfile.GNUTYPE_SPARSE, "sparse-file"),
        "GNU long name": (tarfile.GNUTYPE_LONGNAME, "odd-type"),
        "GNU long link": (tarfile.GNUTYPE_LONGLINK, "odd-type"),
        "global pax header": (b"g", "odd-type"),
        "unknown type": (b"Z", "odd-type"),
    }
    for what, (kind, rule) in kinds.items():
        header = patched(header_of("src/a.py", 0), 156, kind)
        yield Case(what, rule, archive(FILES, extra=header))
    yield Case(
        "link that escapes",
        "symbolic-link",
        archive(FILES, extra=entry("src/up", b"", tarfile.SYMTYPE, "/etc")),
    )
    through = entry("src/up", b"", tarfile.SYMTYPE, "../..") + entry("src/up/evil.py", b"evil")
    yield Case("file through a link", "symbolic-link", archive(FILES, extra=through))
    outside = entry("src/p", b"", tarfile.LNKTYPE, "/etc/passwd")
    yield Case("hard link that escapes", "hard-link", archive(FILES, extra=outside))


def collision_cases() -> Iterator[Case]:
    """Names that some file system takes for one."""
    first = _line("src/shop_tasks.py", b"x = 1\n")
    twice = entry("src/shop_tasks.py", b"x = 1\n") * 2
    yield Case("duplicate in the tar", "duplicate-name", archive(FILES, body=twice))
    yield Case("duplicate in RECORD", "duplicate-name", archive(FILES, record=_record(first, first)))
    yield Case("second manifest", "duplicate-name", archive(FILES, extra=entry("laneway.toml", MANIFEST)))
    yield Case("second RECORD", "duplicate-name", archive(FILES, extra=entry("RECORD", b"")))
    for what, other in {
        "case": "src/Shop_tasks.py",
        "folder case": "SRC/other.py",
        "compatibility form": "src/\uff53hop_tasks.py",
    }.items():
        rule = "wrong-place" if other.startswith("SRC") else "case-collision"
        lines = [line for _, line in sorted([(other, _line(other)), ("src/shop_tasks.py", first)])]
        yield Case(f"{what} collision", rule, archive(FILES, record=_record(*lines)))
    files = {"src/shop_tasks.py": b"x = 1\n", "src/straße.py": b"", "src/strasse.py": b""}
    yield Case("sharp s collision", "case-collision", archive(files))
    both = {"src/a": b"", "src/a/b.py": b"", "src/shop_tasks.py": b""}
    yield Case("file used as folder", "file-as-folder", archive(both))


def header_cases() -> Iterator[Case]:
    """Headers whose numbers lie."""
    plain = header_of("src/a.py", 4)
    wrong = plain[:148] + b"000001\0 " + plain[156:]
    yield Case("wrong header checksum", "header-checksum", archive(FILES, extra=wrong))
    yield Case(
        "size in base 256", "header-number", archive(FILES, extra=patched(plain, 124, b"\x80" + b"\xff" * 11))
    )
    yield Case("negative size", "header-number", archive(FILES, extra=patched(plain, 124, b"-0000000004\0")))
    yield Case(
        "size in letters", "header-number", archive(FILES, extra=patched(plain, 124, b"0000000000g\0"))
    )
    yield Case("no size", "header-number", archive(FILES, extra=patched(plain, 124, b"\0" * 12)))
    yield Case("8 GiB claimed", "file-size", archive(FILES, extra=patched(plain, 124, b"77777777777\0")))
    yield Case("not ustar", "not-tar", archive(FILES, extra=patched(plain, 257, b"gnutar\0\0")))
    yield Case(
        "name is not UTF-8", "name-encoding", archive(FILES, extra=patched(plain, 0, b"src/\xff\xfe.py"))
    )
    yield Case("no name", "empty-name", archive(FILES, extra=patched(plain, 0, b"\0" * 100)))
    padded = header_of("src/shop_tasks.py", 6) + b"x = 1\n" + b"x" * 506
    yield Case("data in the padding", "hidden-data", archive(FILES, body=padded))
    pax = patched(header_of("pax", 20), 156, b"x")
    bodies = {
        "pax with a wrong length": b"99 path=src/a.py\n",
        "pax without a value": b"5 pat",
        "pax that sets the size": b"19 size=9999999999\n",
        "pax that sets a link": b"22 linkpath=/etc/pass\n",
        "pax with two lines": b"13 path=a.py\n13 path=b.py\n",
    }
    for what, body in bodies.items():
        header = patched(pax, 124, b"%011o\0" % len(body))
        yield Case(what, "pax-header", archive(FILES, extra=header + body + padding_of(len(body))))
    huge = patched(pax, 124, b"%011o\0" % (1 << 31))
    yield Case("pax of 2 GiB", "pax-header", archive(FILES, extra=huge))


def record_cases() -> Iterator[Case]:
    """RECORD and the files do not fit."""
    name = "src/shop_tasks.py"
    yield Case("wrong hash", "wrong-hash", archive(FILES, body=entry(name, b"x = 2\n")))
    yield Case("wrong size", "wrong-size", archive(FILES, body=entry(name, b"x = 100\n")))
    yield Case("file missing", "missing-file", archive(FILES, body=b""))
    yield Case("file not listed", "unlisted-file", archive(FILES, extra=entry("src/extra.py", b"evil")))
    yield Case("manifest not listed", "wrong-hash", archive(FILES, record=_line(name, b"x = 1\n")))
    other = _line("laneway.toml", b"other") + _line(name, b"x = 1\n")
    yield Case("manifest changed", "wrong-hash", archive(FILES, record=other))
    two = {"src/a.py": b"", "src/shop_tasks.py": b""}
    turned = entry("src/shop_tasks.py") + entry("src/a.py")
    yield Case("wrong order", "wrong-order", archive(two, body=turned))
    swapped = _record(_line("src/shop_tasks.py"), _line("src/a.py"))
    yield Case("RECORD out of order", "bad-record", archive(two, record=swapped))
    bad = {
        "RECORD is not UTF-8": _record(b"\xff\xfe\n"),
        "RECORD without line end": _record(_line(name, b"x = 1\n"))[:-1],
        "RECORD with a huge integer": _record(_line(name, size="9" * 5000)),
        "RECORD with a negative size": _record(_line(name, size="-1")),
        "RECORD with an upper-case hash": _record(_line(name, sha="A" * 64)),
        "RECORD with a short hash": _record(_line(name, sha="ab")),
        "RECORD with an empty line": _record(b"\n"),
        "RECORD that lists itself": _line("RECORD") + _record(),
    }
    for what, record in bad.items():
        yield Case(what, "bad-record", archive(FILES, record=record))
    yield Case("RECORD empty", "wrong-hash", archive(FILES, record=b""))
    yield Case("no manifest first", "wrong-head", packed(entry("src/shop_tasks.py", b"x = 1\n")))
    yield Case("no RECORD second", "wrong-head", packed(entry("laneway.toml", MANIFEST) + entry("src/a.py")))
    yield Case("manifest only", "wrong-head", packed(entry("laneway.toml", MANIFEST)))
    yield Case("empty tar", "wrong-head", packed(b""))


def bomb_cases() -> Iterator[Case]:
    """Archives that want more than they may have. Small as files."""
    name = "src/shop_tasks.py"
    claimed = _record(_line(name, size=str(3 << 30)))
    yield Case("file size bomb in RECORD", "file-size", archive(FILES, record=claimed))
    many = _record(*[_line(f"src/f{number:06}.py", size=str(1 << 29)) for number in range(8)])
    yield Case("total size bomb in RECORD", "total-size", archive(FILES, record=many))
    count = _record(*[f"{'0' * 64} 0 src/f{number:06}.py\n".encode() for number in range(50_001)])
    yield Case("count bomb", "file-count", archive(FILES, record=count))
    large = entry("laneway.toml", MANIFEST + b"#" * (300 << 10))
    yield Case("manifest bomb", "head-size", packed(large))
    zeros = 96 << 20
    lines = (_line("src/shop_tasks.py", b"x = 1\n"), _line("src/zeros.bin", size=str(zeros)))
    tar = head({}, record=_record(*lines)) + entry("src/shop_tasks.py", b"x = 1\n")
    tar += header_of("src/zeros.bin", zeros)
    yield Case("ratio bomb", "ratio", zstd.compress(tar + b"\0" * (zeros + 1024), 3))
    yield Case("zeros after the end", "ratio", zstd.compress(head({}) + b"\0" * zeros, 3))
    window = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    yield Case("window bomb", "window", _streamed(head({}) + b"\0" * 1024, window))


def _streamed(data: bytes, options: dict[zstd.CompressionParameter, int]) -> bytes:
    compressor = zstd.ZstdCompressor(options={int(key): value for key, value in options.items()})
    return compressor.compress(data) + compressor.flush()


def stream_cases() -> Iterator[Case]:
    """Damaged streams."""
    whole = good()
    yield Case("empty file", "empty", b"")
    yield Case("one byte", "truncated", whole[:1])
    yield Case("half", "truncated", whole[: len(whole) // 2])
    yield Case("last byte missing", "truncated", whole[:-1])
    yield Case("flipped checksum", "corrupt", whole[:-1] + bytes([whole[-1] ^ 1]))
    yield Case("not zstd", "not-zstd", b"PK\x03\x04" + random.Random(1).randbytes(2000))
    yield Case("plain tar", "not-zstd", head(FILES) + b"\0" * 1024)
    yield Case("text", "not-zstd", b"<html>404 not found</html>")
    yield Case("random inside zstd", "not-tar", zstd.compress(random.Random(2).randbytes(4096)))
    yield Case("bytes after the stream", "trailing-data", whole + b"evil")
    yield Case("second stream", "trailing-data", whole + whole)
    yield Case("skippable frame", "trailing-data", whole + b"\x50\x2a\x4d\x18\x04\0\0\0evil")
    body = head(FILES) + entry("src/shop_tasks.py", b"x = 1\n")
    yield Case("data after the tar", "trailing-data", packed(body, end=b"\0" * 1024 + b"e" * 512))
    yield Case("tar without end", "truncated", packed(body, end=b""))
    yield Case("one end block", "truncated", packed(body, end=b"\0" * 512))
    yield Case("half a header", "truncated", packed(body, end=b"\0" * 300))
    yield Case("end block with data", "trailing-data", packed(body, end=b"\0" * 512 + b"x" * 512))
    yield Case(
        "file cut short",
        "truncated",
        packed(head(FILES) + entry("src/shop_tasks.py", b"x = 1\n")[:514], end=b""),
    )


def signature_cases(sign: Callable[[bytes], bytes]) -> Iterator[Case]:
    """Signatures that do not fit. `sign` makes a right SIGNATURE for a RECORD."""
    record = record_of({"laneway.toml": MANIFEST} | FILES)
    right = sign(record)
    other = sign(record + b" ")
    kind, key, value = right.split()
    flipped = bytearray(base64.b64decode(value))
    flipped[0] ^= 1
    wrong = {
        "signature of another package": other,
        "flipped signature": b" ".join([kind, key, base64.b64encode(bytes(flipped))]) + b"\n",
        "signature by nobody's key": b" ".join([kind, base64.b64encode(b"\0" * 32), value]) + b"\n",
        "signature cut short": right[:40],
        "signature of another kind": right.replace(b"ed25519", b"rsa4096"),
        "signature is not text": b"\xff" * 100,
        "empty lines for a signature": b"\n\n",
        "a thousand signatures": right * 300,
    }
    for what, signature in wrong.items():
        yield Case(what, "signature", archive(FILES, extra=entry("SIGNATURE", signature)))
    huge = entry("SIGNATURE", b"x" * (65 << 10))
    yield Case("signature bomb", "head-size", archive(FILES, extra=huge))


def archive_cases() -> list[Case]:
    """Every archive that a rule of the reader refuses."""
    makers = (name_cases, type_cases, collision_cases, header_cases, record_cases, bomb_cases, stream_cases)
    return [case for maker in makers for case in maker()]
