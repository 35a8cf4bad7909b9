"""Twelve packages at once: one module name, twelve versions of the same three libraries, nothing mixes."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from parts import lacking

from laneway import Engine
from laneway._core.errors import PackageInUse, VendoringFailed
from laneway.engine.target import Target
from laneway.packages import Package, PackageCache, build_archive, open_package
from laneway.packages.manifest import read_manifest
from laneway.packages.vendoring import vendor
from laneway.targets import target_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IDNA = ("3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11")
PACKAGING = ("20.4", "20.9", "21.0", "21.3", "22.0", "23.0", "23.1", "23.2", "24.0", "24.1", "24.2", "25.0")
CERTIFI = (
    *("2022.12.7", "2023.5.7", "2023.7.22", "2023.11.17", "2024.2.2", "2024.6.2"),
    *("2024.7.4", "2024.8.30", "2024.12.14", "2025.1.31", "2025.4.26", "2025.6.15"),
)

CODE = """
import hashlib
import os
import sys
import time
from pathlib import Path

import idna

from laneway import Workflow, task

HERE = Path(__file__).parent


def look():
    import certifi                      # late imports, a submodule, and data files
    import idna.uts46data
    import packaging.version
    from importlib import resources

    mine = str(HERE.parent)
    known = (mine, os.path.dirname(os.__file__))
    files = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
    return {
        "idna": idna.__version__,
        "packaging": packaging.__version__,
        "certifi": ".".join(str(int(part)) for part in certifi.__version__.split(".")),
        "pem": hashlib.sha256(Path(certifi.where()).read_bytes()).hexdigest(),
        "data": (HERE / "data.txt").read_text(),
        "resource": resources.files("plugin_data").joinpath("more.txt").read_text(),
        "foreign": sorted(
            file for name, file in files.items()
            if file and not name.startswith("laneway") and name != "__main__" and not file.startswith(known)
        ),
    }


@task(lane="interpreter")
def in_interpreter():
    return look()


@task(lane="process")
def in_process():
    return look()


@task(lane="interpreter")
def held(started, release):
    Path(started).touch()
    while not os.path.exists(release):
        time.sleep(0.005)
    return idna.__version__


@task(lane="interpreter", dependencies=["held"])
def after_held():
    return look()


everywhere = Workflow("everywhere", [in_interpreter, in_process])
long = Workflow("long", [held, after_held])
"""

MANIFEST = """
[package]
name = "{name}"
version = "{version}"
entry_module = "plugin"
[dependencies]
idna = "=={idna}"
packaging = "=={packaging}"
certifi = "=={certifi}"
[policy]
filesystem.read = true
filesystem.write = true
threads = true
"""


class Made(NamedTuple):
    """One of the twelve."""

    number: int
    archive: Path
    pem: str

    def expected(self) -> dict[str, Any]:
        """What its tasks must see."""
        return {
            "idna": IDNA[self.number],
            "packaging": PACKAGING[self.number],
            "certifi": CERTIFI[self.number],
            "pem": self.pem,
            "data": f"data of {self.number}",
            "resource": f"more of {self.number}",
            "foreign": [],
        }


@pytest.fixture(scope="session")
def twelve(uv: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    folder = tmp_path_factory.mktemp("twelve")
    return [_make(folder, number, "1.0", f"plugin-{number}", uv) for number in range(12)]


def _make(folder: Path, number: int, version: str, name: str, uv: Path) -> Made:
    root = folder / f"{name}-{version}"
    text = MANIFEST.format(
        name=name, version=version, idna=IDNA[number], packaging=PACKAGING[number], certifi=CERTIFI[number]
    )
    for path, content in {
        "laneway.toml": text,
        "src/plugin.py": CODE,
        "src/data.txt": f"data of {number}",
        "src/plugin_data/more.txt": f"more of {number}",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    try:
        vendor(root, read_manifest(text.encode()), uv=uv)
    except VendoringFailed as error:
        lacking(f"the libraries cannot be had here: {error}")
    pem = hashlib.sha256((root / "vendor/certifi/cacert.pem").read_bytes()).hexdigest()
    archive = folder / f"{name}-{version}.lane"
    build_archive(open_package(root), archive)
    return Made(number, archive, pem)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine("memory://", workers=1, grace=1) as engine:
        yield engine


async def _target(engine: Engine, package: Package, workflow: str) -> Target:
    return await target_in(package, engine.fleet, workflow)


async def _retire(engine: Engine, package: Package) -> None:
    for lane in engine.lanes.values():
        await lane.retire(package.unit().key)


async def test_twelve_versions_side_by_side_do_not_mix(
    twelve: list[Made], engine: Engine, cache: PackageCache
) -> None:
    packages = [open_package(made.archive, cache=cache) for made in twelve]
    targets = [await _target(engine, package, "everywhere") for package in packages]
    results = await asyncio.gather(*(engine.run(target) for target in targets))
    for made, result in zip(twelve, results, strict=True):
        assert result.context["in_interpreter"] == made.expected()
        assert result.context["in_process"] == made.expected()


async def test_upgrade_leaves_running_runs_on_their_version_and_removal_waits(
    twelve: list[Made], engine: Engine, cache: PackageCache, uv: Path, tmp_path: Path
) -> None:
    old = twelve[0]
    new = _make(tmp_path / "made", 5, "2.0", "plugin-0", uv)
    first = open_package(old.archive, cache=cache)
    context = {"started": str(tmp_path / "started"), "release": str(tmp_path / "release")}
    running = await engine.start(await _target(engine, first, "long"), context)
    while not (tmp_path / "started").exists():
        await asyncio.sleep(0)

    second = open_package(new.archive, cache=cache)
    result = await engine.run(await _target(engine, second, "everywhere"))
    assert result.context["in_interpreter"] == new.expected()

    with pytest.raises(PackageInUse):
        cache.remove(first.content_hash)
    removal = asyncio.create_task(asyncio.to_thread(cache.remove, first.content_hash, wait_seconds=60))
    (tmp_path / "release").touch()
    ended = await running.result()
    assert ended.context["held"] == IDNA[0]
    assert ended.context["after_held"] == old.expected()

    await _retire(engine, first)
    assert first.hold is not None
    first.hold.close()
    assert await removal == 1
    assert not first.root.exists()

    result = await engine.run(await _target(engine, second, "everywhere"))
    assert result.context["in_process"] == new.expected()
    again = open_package(old.archive, cache=cache)
    result = await engine.run(await _target(engine, again, "everywhere"))
    assert result.context["in_interpreter"] == old.expected()


async def test_the_program_itself_stays_untouched(
    twelve: list[Made], engine: Engine, cache: PackageCache
) -> None:
    import sys

    before_path, before_modules = [*sys.path], {*sys.modules}
    package = open_package(twelve[3].archive, cache=cache)
    await engine.run(await _target(engine, package, "everywhere"))
    assert sys.path == before_path
    assert not {
        name for name in {*sys.modules} - before_modules if name.startswith(("plugin", "idna", "certifi"))
    }
    assert os.path.isdir(package.root)
