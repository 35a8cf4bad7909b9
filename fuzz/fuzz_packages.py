"""A coverage-guided fuzzer for the manifest and archive readers.

    python fuzz/fuzz_packages.py --seconds 60                 # both readers, corpus in fuzz/corpus
    python fuzz/fuzz_packages.py --target archive --input FILE   # one input again

Inputs are mutated; one that reaches a new place in the code of `laneway.packages` (by `sys.monitoring`, counted per
jump) is kept in the corpus. A finding is an exception that is no `PackageError`, an accepted archive whose content
is not what its RECORD says, more than two seconds of CPU time, more than
256 MiB, or anything left on disk. Findings are written
to `fuzz/findings/` and end the program with status 1.
"""

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from compression import zstd
from pathlib import Path
from types import CodeType

from laneway import packages
from laneway._core.errors import PackageError
from laneway.packages import PackageCache, open_package, read_manifest
from laneway.packages._record import record_text

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT.parent / "tests" / "support"))

import hostile_packages  # noqa: E402 - where the tests keep it

CODE = str(Path(packages.__file__).parent)
TOOL = sys.monitoring.COVERAGE_ID
MOST_SECONDS = 2.0
MOST_BYTES = 256 << 20
INTERESTING = [
    b"\0",
    b"\xff",
    b"/",
    b"..",
    b"\\",
    b"[",
    b"{",
    b'"',
    b"'''",
    b"=",
    b"\n",
    b"src/",
    b"RECORD",
    b"9" * 40,
]
TOKENS = [
    b"[package]\n",
    b"[limits]\n",
    b"[policy]\n",
    b"[schedule.a]\n",
    b"name = ",
    b"true",
    b"inf",
    b"1e400",
    b"x.y.z = 1",
]

type Target = Callable[[bytes], None]


class Reached:
    """Places in the readers that were reached, as jumps from one line to the next."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int, int]] = set()
        self._current: set[tuple[str, int, int]] = set()
        sys.monitoring.use_tool_id(TOOL, "laneway-fuzz")
        sys.monitoring.register_callback(TOOL, sys.monitoring.events.BRANCH_LEFT, self._jump)
        sys.monitoring.register_callback(TOOL, sys.monitoring.events.BRANCH_RIGHT, self._jump)
        sys.monitoring.register_callback(TOOL, sys.monitoring.events.PY_START, self._start)
        events = sys.monitoring.events.BRANCH_LEFT | sys.monitoring.events.BRANCH_RIGHT
        sys.monitoring.set_events(TOOL, events | sys.monitoring.events.PY_START)

    def _jump(self, code: CodeType, origin: int, destination: int) -> object:
        if not code.co_filename.startswith(CODE):
            return sys.monitoring.DISABLE
        self._current.add((code.co_qualname, origin, destination))
        return None

    def _start(self, code: CodeType, offset: int) -> object:
        if not code.co_filename.startswith(CODE):
            return sys.monitoring.DISABLE
        self._current.add((code.co_qualname, -1, offset))
        return None

    def of(self, run: Callable[[], None]) -> bool:
        """Run, and say whether something new was reached."""
        self._current.clear()
        run()
        new = self._current - self.seen
        self.seen |= new
        return bool(new)


def manifest(data: bytes) -> None:
    """Any bytes are a manifest or a PackageError."""
    with contextlib.suppress(PackageError):
        found = read_manifest(data)
        assert found.name
        hash(found.policy)


def archive(data: bytes) -> None:
    """Any archive is refused and leaves nothing, or is extracted exactly as its RECORD says."""
    folder = Path(tempfile.mkdtemp(prefix="laneway-fuzz-"))
    try:
        (folder / "x.lane").write_bytes(_sealed(data))
        cache = folder / "cache"
        try:
            package = open_package(folder / "x.lane", cache=PackageCache(cache))
        except PackageError:
            left = [*cache.rglob("*")] if cache.exists() else []
            assert not left, left
        else:
            there = record_text(package.files).encode()
            assert (package.root / "RECORD").read_bytes() == there
            for one in package.files:
                content = (package.root / one.path).read_bytes()
                assert hashlib.sha256(content).hexdigest() == one.sha256, one.path
        assert sorted(path.name for path in folder.iterdir()) in (["x.lane"], ["cache", "x.lane"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sealed(data: bytes) -> bytes:
    """Inputs are tars; they are compressed here, because no mutation survives a compressed stream's checksum.

    Those that begin with zstd's own magic number are taken as they are, so that damaged streams are tried, too.
    """
    return data if data.startswith(b"\x28\xb5\x2f\xfd") else zstd.compress(_checksummed(data), 1)


def _checksummed(tar: bytes) -> bytes:
    """Headers get right checksums, so that mutations get past them."""
    blocks = bytearray(tar)
    for start in range(0, len(blocks) - 511, 512):
        if blocks[start + 257 : start + 262] == b"ustar":
            header = blocks[start : start + 512]
            total = sum(header[:148]) + sum(header[156:]) + 8 * 0x20
            blocks[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(blocks)


TARGETS: dict[str, Target] = {"manifest": manifest, "archive": archive}


def mutated(data: bytes, others: list[bytes], choose: random.Random) -> bytes:
    """A neighbour of an input."""
    out = bytearray(data)
    for _ in range(choose.choice((1, 1, 2, 4, 8))):
        at = choose.randrange(len(out) + 1)
        kind = choose.randrange(8)
        if kind == 0 and out:
            out[at - 1] ^= 1 << choose.randrange(8)
        elif kind == 1:
            out[at:at] = choose.choice(INTERESTING + TOKENS)
        elif kind == 2:
            del out[at : at + choose.randrange(1, 64)]
        elif kind == 3:
            other = choose.choice(others)
            start = choose.randrange(len(other) + 1)
            out[at : at + choose.randrange(64)] = other[start : start + choose.randrange(512)]
        elif kind == 4:
            block = 512 * choose.randrange(len(out) // 512 + 1)
            out[block:block] = out[block : block + 512 * choose.randrange(1, 4)]
        elif kind == 5:
            block = 512 * choose.randrange(len(out) // 512 + 1)
            del out[block : block + 512]
        elif kind == 6 and out:
            out[at - 1] = choose.randrange(256)
        else:
            out = out[:at] if choose.random() < 0.2 else out
    return bytes(out[: 1 << 18])


def seeds(name: str) -> Iterator[bytes]:
    """The kept corpus, and for archives the hostile cases of the tests."""
    for path in sorted((ROOT / "corpus" / name).iterdir()):
        yield path.read_bytes()
    if name == "archive":
        cases = [case.content for case in hostile_packages.archive_cases() if len(case.content) < 1 << 16]
        for content in [hostile_packages.good(), *cases]:
            try:
                tar = zstd.decompress(content)
            except zstd.ZstdError:
                yield content
            else:
                yield tar if len(tar) < 1 << 18 else content


def one(name: str, data: bytes, reached: Reached) -> bool:
    """Run one input within its bounds; True when it reached something new."""
    tracemalloc.reset_peak()
    started = time.process_time()
    new = reached.of(lambda: TARGETS[name](data))
    seconds, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
    assert seconds < MOST_SECONDS, f"{seconds:.1f} s"
    assert peak < MOST_BYTES, f"{peak:,} bytes"
    return new


def fuzz(name: str, seconds: float, seed: int, reached: Reached) -> int:
    """Mutate for some time; returns the number of findings."""
    choose = random.Random(seed)
    corpus = [*seeds(name)] or [b""]
    known = {hashlib.sha256(data).hexdigest() for data in corpus}
    for data in corpus:
        one(name, data, reached)
    before, tried, findings = len(reached.seen), 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutated(choose.choice(corpus), corpus, choose)
        tried += 1
        try:
            new = one(name, data, reached)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            findings += 1
            _keep(ROOT / "findings", data)
            say(f"{name}: {type(error).__name__}: {error}")
            continue
        digest = hashlib.sha256(data).hexdigest()
        if new and digest not in known:
            known.add(digest)
            corpus.append(data)
            _keep(ROOT / "corpus" / name, data)
    grown = len(reached.seen) - before
    reach = f"{before} places from seeds, {grown} new"
    say(f"{name}: {tried:,} inputs, {len(corpus)} in the corpus, {reach}, {findings} findings")
    return findings


def say(text: str) -> None:
    """One line of progress."""
    sys.stdout.write(f"{text}\n")


def _keep(folder: Path, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main() -> int:
    """Run the fuzzer from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", choices=[*TARGETS], action="append")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--input", type=Path, help="run this one input")
    options = parser.parse_args()
    tracemalloc.start()
    reached = Reached()
    if options.input:
        for name in options.target or TARGETS:
            one(name, options.input.read_bytes(), reached)
        return 0
    say(f"seed {options.seed}")
    names = options.target or [*TARGETS]
    return 1 if sum(fuzz(name, options.seconds / len(names), options.seed, reached) for name in names) else 0


if __name__ == "__main__":
    sys.exit(main())
