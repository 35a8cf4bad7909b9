"""Dependencies of a package: resolved and installed into `vendor/` by uv, pinned by hash in `laneway.lock`."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from importlib.metadata import Distribution, PathDistribution
from importlib.util import find_spec
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from laneway._core.errors import VendoringFailed
from laneway.packages._record import LOCK_NAME
from laneway.packages.bytecode import compile_trees
from laneway.packages.manifest import Manifest

__all__ = ["Vendored", "missing_from", "requirements_of", "vendor", "vendored_in"]

_HEAD = "# Made by `laneway package vendor` for {target}. Versions and hashes of what is in vendor/.\n"
_NATIVE = (".so", ".pyd", ".dylib")
_TOLD_LINES = 30


class Vendored(msgspec.Struct, frozen=True):
    """One distribution in `vendor/`."""

    name: str
    version: str
    files: int
    size_bytes: int
    native: tuple[str, ...] = ()
    """Files in native code, by path in `vendor/`; they may not load in an interpreter."""


def requirements_of(manifest: Manifest) -> list[str]:
    """`[dependencies]` as requirement lines."""
    return [f"{name}{'' if wanted.strip() == '*' else wanted}" for name, wanted in manifest.dependencies]


def vendor(
    root: Path,
    manifest: Manifest,
    *,
    uv: Path | None = None,
    offline: bool = False,
    locked: bool = False,
    upgrade: bool = False,
    allow_build: bool = False,
) -> list[Vendored]:
    """Fill `vendor/` and write `laneway.lock`; both are replaced only once everything succeeded.

    Args:
        root: the package's folder.
        manifest: what it depends on.
        uv: the uv to use; by default the one on the search path or in the running environment.
        offline: use only what uv has in its cache.
        locked: install exactly what `laneway.lock` says, without resolving.
        upgrade: resolve anew instead of keeping the lock's versions where they still fit.
        allow_build: allow distributions without a wheel, whose build runs their code here.

    Raises:
        VendoringFailed: uv is missing, or could not resolve or install; with its words.
    """

    def tool() -> _Uv:  # not needed where there is nothing to install
        return _Uv(uv or _find_uv(manifest), manifest, offline=offline)

    wanted = requirements_of(manifest)
    lock = root / LOCK_NAME
    if not os.access(root, os.W_OK):
        raise _failed(manifest, f"{str(root)!r} cannot be written", "Vendor into a copy of the folder")
    with tempfile.TemporaryDirectory(prefix=".vendor-", dir=root) as temporary:
        staging = Path(temporary)
        if locked and wanted and not lock.is_file():
            raise _failed(manifest, f"there is no {LOCK_NAME}", "Run it without --locked once")
        text = lock.read_text(encoding="utf-8") if lock.is_file() and not upgrade else ""
        if not locked:
            text = tool().resolve(wanted, text, staging / "lock.txt") if wanted else ""
        (staging / LOCK_NAME).write_text(f"{_HEAD.format(target=_target())}{_pins(text)}", encoding="utf-8")
        (staging / "vendor").mkdir()
        if _pins(text):
            tool().install(staging / LOCK_NAME, staging / "vendor", allow_build=allow_build)
            _tidy(staging / "vendor")
        compile_trees([staging / "vendor"])
        _make_readable(staging)
        _swap(root, staging, keep=bool(_pins(text)))
    return vendored_in(root)


def vendored_in(root: Path) -> list[Vendored]:
    """The distributions in a package's `vendor/`, by name."""
    folder = root / "vendor"
    if not folder.is_dir():
        return []
    described = [path for path in folder.glob("*.dist-info") if (path / "METADATA").is_file()]
    found = [_vendored(folder, PathDistribution(path)) for path in described]
    return sorted(found, key=lambda one: one.name)


class _Uv:
    """uv's command line, as far as it is needed here."""

    def __init__(self, program: Path, manifest: Manifest, *, offline: bool) -> None:
        self._program = program
        self._manifest = manifest
        self._options = ["--python", sys.executable, "--quiet", "--color", "never", "--no-progress"]
        if offline:
            self._options.append("--offline")

    def resolve(self, wanted: Sequence[str], previous: str, output: Path) -> str:
        """Pinned requirements with hashes. `previous` pins are kept where they fit."""
        output.write_text(_pins(previous), encoding="utf-8")
        source = output.with_name("requirements.in")
        source.write_text("".join(f"{line}\n" for line in wanted), encoding="utf-8")
        options = [
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
            "--no-emit-index-url",
            "--no-emit-find-links",
        ]
        self._run(["pip", "compile", str(source), "--output-file", str(output), *options], "resolved")
        return output.read_text(encoding="utf-8")

    def install(self, lock: Path, target: Path, *, allow_build: bool) -> None:
        """Install exactly the locked files."""
        options = ["--require-hashes", "--no-deps", "--link-mode", "copy", "--target", str(target)]
        if not allow_build:
            options.append("--no-build")
        self._run(["pip", "install", "--requirements", str(lock), *options], "installed")

    def _run(self, arguments: Sequence[str], done: str) -> None:
        with _cache_folder(self._program) as cache:
            command = [str(self._program), *arguments, *self._options, *cache]
            outcome = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if outcome.returncode:
            words = "\n".join((outcome.stderr or outcome.stdout).strip().splitlines()[-_TOLD_LINES:])
            advice = "Check [dependencies] in laneway.toml and the network"
            if "no-build" in words or "building source distributions is disabled" in words.lower():
                advice = "It has no wheel for this Python; --allow-build builds it here, which runs its code"
            raise _failed(self._manifest, f"its dependencies could not be {done}:\n{words}\n", advice)


@contextlib.contextmanager
def _cache_folder(program: Path) -> Generator[list[str]]:
    """Options that give uv a cache it can write, such as where the home folder is read-only."""
    outcome = subprocess.run([str(program), "cache", "dir"], capture_output=True, text=True, check=False)
    place = Path(outcome.stdout.strip() or os.curdir)
    while not place.exists():
        place = place.parent
    if os.access(place, os.W_OK):
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="laneway-uv-") as folder:
        yield ["--cache-dir", folder]


def _find_uv(manifest: Manifest) -> Path:
    beside = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if beside:
        return Path(beside)
    spec = find_spec("uv")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for candidate in (Path(place) / "uv", Path(place).parents[3] / "bin" / "uv"):
            if candidate.is_file():
                return candidate
    raise _failed(manifest, "uv is not installed", "Install it with `pip install uv`, or give --uv PATH")


def _pins(text: str) -> str:
    """A lock without comments and options: no index address ever gets into it."""
    kept: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare and not bare.startswith("#") and (not bare.startswith("-") or bare.startswith("--hash=")):
            kept.append(line.rstrip())
    return "".join(f"{line}\n" for line in kept)


def _target() -> str:
    version = sys.version_info
    free = "t" if not getattr(sys, "_is_gil_enabled", lambda: True)() else ""
    return f"CPython {version.major}.{version.minor}{free} on {sys.platform} {os.uname().machine}"


def _tidy(folder: Path) -> None:
    """Remove what depends on this machine: scripts with absolute paths, locks, byte code."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)
    for cache in [*folder.rglob("__pycache__")]:
        shutil.rmtree(cache, ignore_errors=True)
    for record in folder.glob("*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if (folder / line.rsplit(",", 2)[0].strip('"')).exists()]
        record.write_text("".join(f"{line}\n" for line in sorted(kept)), encoding="utf-8")
        for name in ("direct_url.json", "uv_cache.json"):
            record.with_name(name).unlink(missing_ok=True)


def _make_readable(folder: Path) -> None:
    """Modes that do not depend on the umask."""
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _swap(root: Path, staging: Path, *, keep: bool) -> None:
    old, there = staging / "old", root / "vendor"
    try:
        if there.exists():
            os.rename(there, old)
        if keep:
            os.rename(staging / "vendor", there)
            os.replace(staging / LOCK_NAME, root / LOCK_NAME)
        else:
            (root / LOCK_NAME).unlink(missing_ok=True)
    except BaseException:  # Ctrl-C in between, too: what was there is put back
        if old.exists():
            if there.exists():
                os.rename(there, staging / "vendor")
            os.rename(old, there)
        raise


def _vendored(folder: Path, found: Distribution) -> Vendored:
    paths = [folder / str(path) for path in found.files or []]
    present = [path for path in paths if path.is_file()]
    native = sorted(path.relative_to(folder).as_posix() for path in present if path.suffix in _NATIVE)
    return Vendored(
        name=canonicalize_name(found.metadata["Name"] or ""),
        version=found.version,
        files=len(present),
        size_bytes=sum(path.stat().st_size for path in present),
        native=tuple(native),
    )


def missing_from(root: Path, manifest: Manifest) -> list[str]:
    """Requirements in the manifest that `vendor/` does not fulfil."""
    there = {one.name: one.version for one in vendored_in(root)}
    missing: list[str] = []
    for line in requirements_of(manifest):
        wanted = Requirement(line)
        version = there.get(canonicalize_name(wanted.name))
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            missing.append(line)
    return missing


def _failed(manifest: Manifest, reason: str, advice: str) -> VendoringFailed:
    return VendoringFailed(package=f"{manifest.name} {manifest.version}", reason=reason, advice=advice)
