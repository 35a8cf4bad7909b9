"""Fills `vendor/` of the packages beside it from their `vendor.lock`. Standard library only.

    python examples/isolation/vendor.py [PACKAGE...]

Versions and hashes are those of the lock. What was fetched once is kept in the user's cache, so that a second time,
or a second clone, needs no network. A folder that is filled already is left alone.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["VendorFailed", "fill"]

_HERE = Path(__file__).resolve().parent
_TIME_LIMIT_SECONDS = 120
_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


class VendorFailed(Exception):
    """The dependencies of a package could not be had; the message says what to do."""


def fill(package: Path, *, cache: Path | None = None) -> bool:
    """Make `package/vendor` what `package/vendor.lock` says. True if there was something to do.

    Args:
        package: the package's folder.
        cache: where fetched dependencies are kept; the user's cache folder by default.

    Raises:
        VendorFailed: not in the cache and not to be fetched.
    """
    lock = package / "vendor.lock"
    key = hashlib.sha256(lock.read_bytes()).hexdigest()
    marker = package / ".vendored"
    vendor = package / "vendor"
    if vendor.is_dir() and marker.is_file() and marker.read_text(encoding="utf-8").strip() == key:
        return False
    kept = (cache or _user_cache()) / key[:32]
    if not kept.is_dir():
        _fetch(lock, kept)
    shutil.rmtree(vendor, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=package, prefix=".vendor-") as staging:
        copied = shutil.copytree(kept, Path(staging, "vendor"))
        copied.replace(vendor)
    marker.write_text(f"{key}\n", encoding="utf-8")
    return True


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laneway" / "vendor"


def _fetch(lock: Path, kept: Path) -> None:
    """Install what the lock names into a new folder, then move it to its place in one step."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".new-") as staging:
        target = Path(staging, "vendor")
        environment = dict(os.environ)
        if any(Path(bundle).is_file() for bundle in _CERTIFICATES):
            environment.setdefault("UV_SYSTEM_CERTS", "1")
        command = [*_installer(), "--target", str(target), "--require-hashes", "--no-deps", "-r", str(lock)]
        try:
            subprocess.run(
                command,
                env=environment,
                check=True,
                capture_output=True,
                text=True,
                timeout=_TIME_LIMIT_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()
            reason = said[-1].strip() if said else type(error).__name__
            raise VendorFailed(
                f"{lock.parent.name}: its dependencies could not be fetched ({reason}). "
                "The first time needs a package index that uv or pip can reach."
            ) from error
        for unwanted in ("bin", ".lock"):
            path = target / unwanted
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        try:
            target.replace(kept)
        except OSError:
            if not kept.is_dir():  # another process was faster: its copy is as good
                raise


def _installer() -> list[str]:
    """Uv of the project, uv on the PATH, else pip of this interpreter."""
    own = _HERE.parents[1] / ".tools" / "bin" / "uv"
    found = str(own) if own.is_file() else shutil.which("uv")
    if found is None:
        return [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--disable-pip-version-check",
        ]
    return [found, "pip", "install", "--quiet", "--link-mode", "copy", "--python", sys.executable]


def main() -> int:
    """The command: fill the packages named, or all beside this file."""
    parser = argparse.ArgumentParser(description="Fill vendor/ of packages from their vendor.lock.")
    parser.add_argument(
        "package", nargs="*", type=Path, help="package folders (default: those beside this file)"
    )
    packages: list[Path] = parser.parse_args().package or [
        lock.parent for lock in sorted(_HERE.glob("*/vendor.lock"))
    ]
    for package in packages:
        try:
            changed = fill(package)
        except VendorFailed as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{package.name}: {'filled' if changed else 'up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
