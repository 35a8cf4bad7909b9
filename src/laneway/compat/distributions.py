"""Installed distributions as their files tell: names, files, extension modules, top modules, wheel tags, hashes."""

import csv
import sys
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib.metadata import Distribution, distributions
from pathlib import Path

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from laneway.compat._native import is_native, module_of

__all__ = ["ExtensionFile", "Installed", "dependency_keys", "installed_in", "owners_of"]

_NOT_MODULES = frozenset(
    (
        "test",
        "tests",
        "testing",
        "doc",
        "docs",
        "example",
        "examples",
        "benchmark",
        "benchmarks",
        "bin",
        "scripts",
    )
)


class ExtensionFile(msgspec.Struct, frozen=True):
    """One file that the import system would take for an extension module."""

    module: str
    path: str
    """Relative to the distribution's folder."""


class Installed(msgspec.Struct, frozen=True):
    """One installed distribution."""

    name: str
    version: str
    root: str
    files: tuple[str, ...]
    tags: tuple[str, ...]
    requires: tuple[str, ...]
    """Names of the distributions it needs here, extras left out."""
    tops: tuple[str, ...]
    extensions: tuple[ExtensionFile, ...]
    libraries: tuple[str, ...]
    """Native files that are no extension modules."""
    is_editable: bool
    digest: str
    """Hash of the sorted RECORD entries, without metadata and byte code."""

    @property
    def is_native(self) -> bool:
        """Whether it has extension modules."""
        return bool(self.extensions)


def installed_in(path: Sequence[str]) -> list[Installed]:
    """The distributions on a search path by name; of several with one name the first, as imports see it."""
    found: dict[str, Installed] = {}
    for one in distributions(path=[str(entry) for entry in path]):
        name = one.metadata.get("Name")
        if name and canonicalize_name(name) not in found:
            found[canonicalize_name(name)] = _read(canonicalize_name(name), one)
    return sorted(found.values(), key=lambda one: one.name)


def owners_of(found: Iterable[Installed]) -> dict[str, str]:
    """For each native file, absolute, the distribution it belongs to."""
    return {
        str(Path(one.root, path)): one.name
        for one in found
        for path in (*(extension.path for extension in one.extensions), *one.libraries)
    }


def dependency_keys(one: Installed, by_name: dict[str, Installed]) -> str:
    """A hash of everything it needs, directly or not, that is installed beside it."""
    seen: set[str] = set()
    waiting = [one.name]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        waiting += by_name[name].requires
    keys = sorted(f"{name}={by_name[name].digest}" for name in seen)
    return sha256("\n".join(keys).encode()).hexdigest()[:32]


def _read(name: str, one: Distribution) -> Installed:
    records = _records(one)
    files = [path for path, _ in records]
    native = [path for path in files if is_native(path)]
    modules = [ExtensionFile(module, path) for path in native if (module := module_of(path)) is not None]
    taken = {one.path for one in modules}
    direct = one.read_text("direct_url.json") or ""
    return Installed(
        name=name,
        version=str(one.version),
        root=str(Path(str(one.locate_file("")))),
        files=tuple(files),
        tags=_tags(one),
        requires=_requires(one),
        tops=_tops(files, modules),
        extensions=tuple(modules),
        libraries=tuple(path for path in native if path not in taken),
        is_editable='"editable": true' in direct or '"editable":true' in direct,
        digest=_digest(name, str(one.version), records),
    )


def _records(one: Distribution) -> list[tuple[str, str]]:
    """Paths and hashes. Where RECORD is missing, the files that are there count by size."""
    text = one.read_text("RECORD")
    if text:
        rows = [row for row in csv.reader(text.splitlines()) if row]
        return [(row[0].replace("\\", "/"), row[1] if len(row) > 1 else "") for row in rows]
    found: list[tuple[str, str]] = []
    for path in one.files or []:
        file = Path(str(one.locate_file(path)))
        if file.is_file():
            status = file.stat()
            found.append((str(path), f"{status.st_size}:{status.st_mtime_ns}"))
    return found


def _digest(name: str, version: str, records: Iterable[tuple[str, str]]) -> str:
    kept = sorted(
        f"{path},{digest}"
        for path, digest in records
        if ".dist-info/" not in path and not path.endswith(".pyc") and not path.startswith("../")
    )
    return sha256("\n".join([name, version, *kept]).encode()).hexdigest()


def _tags(one: Distribution) -> tuple[str, ...]:
    lines = (one.read_text("WHEEL") or "").splitlines()
    return tuple(line.partition(":")[2].strip() for line in lines if line.startswith("Tag:"))


def _requires(one: Distribution) -> tuple[str, ...]:
    found: set[str] = set()
    for line in one.requires or []:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            found.add(canonicalize_name(wanted.name))
    return tuple(sorted(found))


def _tops(files: Iterable[str], extensions: Iterable[ExtensionFile]) -> tuple[str, ...]:
    """What a user would import: packages (below namespaces their first real ones) and single modules."""
    packages = {path.rpartition("/")[0] for path in files if path.endswith("/__init__.py")}
    packages |= {one.path.rpartition("/")[0] for one in extensions if "/__init__." in one.path}
    packages = {one for one in packages if all(part.isidentifier() for part in one.split("/"))}
    outer = {one for one in packages if not any(one.startswith(f"{other}/") for other in packages)}
    found = {one.replace("/", ".") for one in outer}
    found |= {path.removesuffix(".py") for path in files if "/" not in path and path.endswith(".py")}
    found |= {one.module for one in extensions if "." not in one.module}
    if not found:
        modules = {path.removesuffix(".py").replace("/", ".") for path in files if path.endswith(".py")}
        modules |= {one.module for one in extensions}
        found = {one for one in modules if all(part.isidentifier() for part in one.split("."))}
    good = {one for one in found if all(part.isidentifier() for part in one.split("."))} - set(
        sys.builtin_module_names
    )
    public = {one for one in good if one.partition(".")[0].lower() not in _NOT_MODULES}
    named = {one for one in public if not one.startswith("_")} or public
    native_tops = {one.module for one in extensions if "." not in one.module}
    return tuple(sorted(named | (public & native_tops)))
