"""A package as a folder: opened, checked and hashed."""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from laneway._core.errors import PackageUnreadable
from laneway.packages._record import SIGNATURE_NAME, content_hash, files_of, record_text
from laneway.packages.manifest import MANIFEST_NAME, Manifest, check_python, read_manifest
from laneway.packages.package import Package
from laneway.packages.signing import Trust, verdict_of

__all__ = ["check_layout", "is_package_folder", "open_folder"]

_MOST_SIGNATURE_BYTES = 64 * 1024
_SHOWN_DEPTH = 2


def is_package_folder(path: Path) -> bool:
    """True when `path` is a folder with a manifest in it."""
    return (path / MANIFEST_NAME).is_file()


def open_folder(path: Path, trust: Trust | None = None, *, is_own: bool = False) -> Package:
    """Open a package folder: read and check its manifest, find its entry module, hash its files.

    Args:
        path: the folder.
        trust: whose signatures are accepted.
        is_own: do not look at its signature, for its author, who is about to change or sign it.

    Raises:
        PackageUnreadable: not a folder, or the manifest, `src/` or the entry module is missing.
        ManifestInvalid: with every mistake in `laneway.toml`.
        PackageUnsuitable: the package does not work on this Python.
        SignatureRefused: the signature in the folder does not fit, or there is none where one is needed.
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
    check_python(manifest)
    files = files_of(root, shown)
    check_layout({one.path for one in files}, manifest)
    signature = b"" if is_own else _signature(root)
    verdict = verdict_of(shown, record_text(files).encode(), signature, trust or Trust())
    return Package(
        manifest=manifest, root=root, content_hash=content_hash(files), files=files, signature=verdict
    )


def _signature(root: Path) -> bytes:
    try:
        return (root / SIGNATURE_NAME).read_bytes()[:_MOST_SIGNATURE_BYTES]
    except FileNotFoundError:
        return b""


def check_layout(paths: Collection[str], manifest: Manifest) -> None:
    """Refuse a package whose code or entry module is missing, or that would hide Laneway from its own tasks.

    Args:
        paths: its files, relative, with forward slashes.
        manifest: what names the entry module.

    Raises:
        PackageUnreadable: with what is missing and the nearest that is there.
    """
    label = f"{manifest.name} {manifest.version}"
    if not any(path.startswith("src/") for path in paths):
        reason = "there is no folder src/ with code in it"
        raise PackageUnreadable(
            package=label, reason=reason, advice="Put the code into src/, beside laneway.toml"
        )
    for top in ("src", "vendor"):
        hiding = (f"{top}/laneway.py", f"{top}/laneway/")
        if any(path.startswith(hiding) for path in paths):
            reason = f"{top}/laneway would hide Laneway from the package's tasks"
            raise PackageUnreadable(package=label, reason=reason, advice="Rename or remove it")
    place = f"src/{manifest.entry_module.replace('.', '/')}"
    if f"{place}.py" not in paths and f"{place}/__init__.py" not in paths:
        modules = sorted(_modules(paths))
        near = get_close_matches(manifest.entry_module, modules, 1, 0.5)
        there = f"there are {', '.join(modules[:10])}" if modules else "there are no modules"
        advice = f"Did you mean {near[0]!r}? Set entry_module in laneway.toml" if near else f"In src/ {there}"
        reason = f"the entry module {manifest.entry_module!r} is not in src/"
        raise PackageUnreadable(package=label, reason=reason, advice=advice)


def _modules(paths: Iterable[str]) -> Iterator[str]:
    """Importable names in `src/`, two levels deep."""
    for path in paths:
        parts = path.removesuffix(".py").split("/")[1:]
        if not path.startswith("src/") or not path.endswith(".py") or len(parts) > _SHOWN_DEPTH:
            continue
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts and all(part.isidentifier() for part in parts):
            yield ".".join(parts)


def _nearest_folder(root: Path) -> str:
    advice = "Give the folder that holds laneway.toml, or a .lane file"
    if root.parent.is_dir():
        near = get_close_matches(root.name, [one.name for one in root.parent.iterdir() if one.is_dir()], 1)
        if near:
            return f"Did you mean {near[0]!r}? {advice}"
    return advice
