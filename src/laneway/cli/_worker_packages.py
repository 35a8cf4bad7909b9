"""Where a worker finds the code that its orders name: modules by import, packages by their content."""

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid7

import msgspec

from laneway._core.errors import LanewayError, PackageError, PackageNotInstalled
from laneway.packages import Package, open_package
from laneway.packages.depot import fetch
from laneway.packages.opening import default_shelf
from laneway.packages.sending import content_of
from laneway.packages.signing import Trust, trusted
from laneway.packages.watching import stamp_of
from laneway.ports import Unit
from laneway.registry import store_from
from laneway.settings import Settings
from laneway.stores._processes import here

__all__ = ["Packages"]


class PackageMissing(PackageError):
    """A worker was sent a package that it cannot find."""

    code = "LW-CLI-010"
    template = (
        "package {package} with the content {content} is not on this machine{looked}. Put it there with "
        "`laneway package install FILE.lane`, or start the worker with --store URL, where engines leave their packages"
    )


class Packages:
    """Finds packages on this machine, else in a store. A package is the right one when its content is.

    Args:
        store: URL of the store that engines use; None to look on this machine only.
        settings: whose signatures are wanted.
    """

    def __init__(self, store: str | None, settings: Settings) -> None:
        self._store = store
        self._trust: Trust = trusted(settings.trusted_keys, allow_unsigned=not settings.signed_only)
        self._known: dict[str, tuple[Package, Unit, Any]] = {}
        self._guard = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="laneway-worker-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def located(self, unit: Unit) -> Unit:
        """The unit as it is found on this machine. Blocks.

        Raises:
            PackageMissing: no package here has that content.
        """
        if unit.kind != "package":
            inherited = tuple(str(Path(one).absolute()) if one else str(Path.cwd()) for one in sys.path)
            return msgspec.structs.replace(unit, inherited=inherited)
        with self._guard:
            known = self._known.get(unit.key)
            if known is not None and known[2] == _stamp(known[0]):
                return known[1]
            package = self._found(unit)
            here = package.unit()
            self._known[unit.key] = package, here, _stamp(package)
            return here

    def _found(self, unit: Unit) -> Package:
        refused: list[str] = []
        for place in self._places(unit):
            try:
                package = open_package(place, trust=self._trust)
            except LanewayError as error:
                refused.append(str(error))
                continue
            if package.unit().key == unit.key:
                return package
            refused.append(f"{place} has other content")
        looked = f" ({'; '.join(refused)})" if refused else ""
        raise PackageMissing(package=unit.name, content=content_of(unit), looked=looked)

    def _places(self, unit: Unit) -> Iterator[Path]:
        """Where it may be, nearest first: where its engine has it, among the installed ones, in the store."""
        root = Path(unit.paths[0]).parent
        if (root / "laneway.toml").is_file():
            yield root
        label = unit.key.removeprefix("package:").rpartition(":")[0]
        with suppress(PackageNotInstalled):
            yield default_shelf().find(label).path
        if self._store is not None:
            archive = asyncio.run(_fetched(self._store, content_of(unit)))
            if archive is not None:
                place = Path(self._folder.name) / f"{content_of(unit)}.lane"
                place.write_bytes(archive)
                yield place


def _stamp(package: Package) -> Any:
    """Changes when a folder's files do; what came from an archive is held as it is."""
    return None if package.archive is not None else stamp_of(package.root)


async def _fetched(url: str, content: str) -> bytes | None:
    store = store_from(url, durability="commit")
    await store.open(here(str(uuid7())))
    try:
        return await fetch(store, content)
    finally:
        await store.close()
