"""A package as a folder: opened, checked, hashed, and turned into the unit that a worker loads."""

import platform
import unicodedata
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

import msgspec

from laneway._core.errors import PackageUnreadable
from laneway.packages._record import FileEntry, content_hash, files_of
from laneway.packages.manifest import MANIFEST_NAME, Manifest, check_python, read_manifest
from laneway.ports import Unit

__all__ = ["Package", "is_package_folder", "open_folder"]


class Package(msgspec.Struct, frozen=True):
    """A package that was opened and found in order. Nothing of it was imported yet."""

    manifest: Manifest
    root: Path
    """Absolute folder with `laneway.toml`, `src/` and maybe `vendor/`."""
    content_hash: str
    """SHA-256 in hex over paths and contents of all its files; equal for the folder and its archive."""
    files: tuple[FileEntry, ...] = ()
    signed_by: str = ""
    """The name or the fingerprint of the trusted key whose signature was verified, else empty."""

    @property
    def name(self) -> str:
        """The package's name."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The package's version."""
        return self.manifest.version

    @property
    def label(self) -> str:
        """Name and version, for people."""
        return f"{self.name} {self.version}"

    def unit(self) -> Unit:
        """What a worker loads to run this package's tasks."""
        paths = [self.root / "src"]
        vendor = self.root / "vendor"
        if vendor.is_dir():
            paths.append(vendor)
        return Unit(
            key=f"package:{self.name}@{self.version}:{self.content_hash[:12]}",
            kind="package",
            entry=self.manifest.entry_module,
            paths=tuple(str(path) for path in paths),
            name=self.label,
            policy=self.manifest.policy,
            limits=self.manifest.limits,
        )


def is_package_folder(path: Path) -> bool:
    """True when `path` is a folder with a manifest in it."""
    return (path / MANIFEST_NAME).is_file()


def open_folder(path: Path) -> Package:
    """Open a package folder: read and check its manifest, find its entry module, hash its files.

    Raises:
        PackageUnreadable: not a folder, or the manifest, `src/` or the entry module is missing.
        ManifestInvalid: with every mistake in `laneway.toml`.
        PackageUnsuitable: the package does not work on this Python.
    """
    root = Path(path).expanduser().absolute()
    shown = str(path)
    if not root.is_dir():
        reason = "is a file, not a folder" if root.is_file() else f"there is nothing at {str(root)!r}"
        raise PackageUnreadable(package=shown, reason=reason, advice=_nearest_folder(root))
    root = root.resolve()
    manifest_file = root / MANIFEST_NAME
    if not manifest_file.is_file():
        advice = "`laneway package new NAME` makes a package; the smallest has laneway.toml and src/"
        raise PackageUnreadable(package=shown, reason=f"the folder has no {MANIFEST_NAME}", advice=advice)
    try:
        content = manifest_file.read_bytes()
    except OSError as error:
        reason = f"{MANIFEST_NAME} cannot be read ({error.strerror})"
        raise PackageUnreadable(package=shown, reason=reason, advice="Check its permissions") from error
    manifest = read_manifest(content, source=f"{shown}/{MANIFEST_NAME}")
    check_python(manifest, platform.python_version())
    check_layout(root, manifest)
    files = files_of(root, shown)
    return Package(manifest=manifest, root=root, content_hash=content_hash(files), files=files)


def check_layout(root: Path, manifest: Manifest) -> None:
    """Refuse a package whose `src/` or entry module is missing, or that would hide Laneway from its own tasks.

    Raises:
        PackageUnreadable: with what is missing and the nearest that is there.
    """
    label = f"{manifest.name} {manifest.version}"
    source = root / "src"
    if not source.is_dir():
        advice = f"Put the code into {str(source)!r}"
        raise PackageUnreadable(package=label, reason="there is no folder src/", advice=advice)
    for top in ("src", "vendor"):
        if (root / top / "laneway").exists() or (root / top / "laneway.py").exists():
            reason = f"{top}/laneway would hide Laneway from the package's tasks"
            raise PackageUnreadable(package=label, reason=reason, advice="Rename or remove it")
    if not _module_file(source, manifest.entry_module):
        modules = sorted(_modules(source))
        near = get_close_matches(manifest.entry_module, modules, 1, 0.5)
        there = f"there are {', '.join(modules[:10])}" if modules else "src/ has no modules"
        advice = f"Did you mean {near[0]!r}? Set entry_module in laneway.toml" if near else f"In src/ {there}"
        reason = f"the entry module {manifest.entry_module!r} is not in src/"
        raise PackageUnreadable(package=label, reason=reason, advice=advice)


def _module_file(source: Path, module: str) -> bool:
    target = source.joinpath(*module.split("."))
    return target.with_name(f"{target.name}.py").is_file() or (target / "__init__.py").is_file()


def _modules(source: Path) -> Iterator[str]:
    """Importable names in `source`, two levels deep."""
    for path in sorted(source.glob("*.py")) + sorted(source.glob("*/*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts and all(unicodedata.normalize("NFC", part).isidentifier() for part in parts):
            yield ".".join(parts)


def _nearest_folder(root: Path) -> str:
    advice = "Give the folder that holds laneway.toml, or a .lane file"
    if root.parent.is_dir():
        near = get_close_matches(root.name, [one.name for one in root.parent.iterdir() if one.is_dir()], 1)
        if near:
            return f"Did you mean {near[0]!r}? {advice}"
    return advice
