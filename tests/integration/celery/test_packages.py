"""Packages on workers elsewhere: found by their content, never by name alone."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Broker
from celery_losses import Start
from servers import postgres_server

from laneway import Engine, RunFailed
from laneway.packages import open_package
from laneway.packages.archive import build_archive
from laneway.packages.depot import collect, held
from laneway.packages.shelf import Shelf

pytestmark = pytest.mark.redis

MANIFEST = '[package]\nname = "far"\nversion = "1.0"\nentry_module = "far"\n'
SOURCE = '''"""A package for other machines."""

import os
from laneway import Workflow, task


@task(lane="celery", cpu=True)
def where() -> list[str]:
    """Which code this is, and where it was found."""
    return ["VERSION", __file__]


flow = Workflow("far", [where])
'''


def make(folder: Path, version: str = "first") -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "laneway.toml").write_text(MANIFEST)
    (folder / "src" / "far.py").write_text(SOURCE.replace("VERSION", version))
    return folder


def installed(folder: Path, data: Path) -> None:
    """Put the package where a user with that data folder has installed ones."""
    archive = folder.with_suffix(".lane")
    build_archive(open_package(folder), archive)
    Shelf(data / "laneway" / "packages").install(archive)


@pytest.fixture
def apart(tmp_path: Path) -> dict[str, str]:
    """The variables of a worker whose machine has folders of its own."""
    return {"XDG_DATA_HOME": str(tmp_path / "there-data"), "XDG_CACHE_HOME": str(tmp_path / "there-cache")}


async def test_package_in_a_folder_that_both_see_runs_from_there(
    broker: Broker, workers: Start, tmp_path: Path, apart: dict[str, str]
) -> None:
    package = make(tmp_path / "shared")
    workers(broker, **apart).ready()
    async with Engine("memory://", broker=broker.url) as engine:
        result = await engine.run(str(package))
    assert result.context["where"] == ["first", str(package / "src" / "far.py")]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a store that engines and workers share."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'laneway.db'}"
        return
    with postgres_server() as server:
        yield server.url


async def test_package_reaches_a_worker_through_the_store_by_its_content(
    broker: Broker, workers: Start, tmp_path: Path, apart: dict[str, str], store: str
) -> None:
    package = make(tmp_path / "here")
    worker = workers(broker, "--store", store, **apart).ready()
    async with Engine(store, broker=broker.url) as engine:
        target = await engine.load(str(package))
        assert target.unit is not None
        assert engine.fleet.publish is not None
        await engine.fleet.publish(target.unit, target.workflow.name)
        shutil.rmtree(package)  # as on a machine that does not have it
        result = await engine.run(target)
        assert (await held(engine.store)).packages == 1
        late = time.time() + 40 * 86_400
        assert (await collect(engine.store, before=late, now=lambda: late)).packages == 1
        assert (await engine.run(target)).context["where"][0] == "first", "the worker has it by now"
    assert result.context["where"][0] == "first"
    assert result.context["where"][1].startswith(apart["XDG_CACHE_HOME"])
    assert worker.end() == 0


async def test_installed_package_is_taken_and_other_content_of_its_name_is_refused(
    broker: Broker, workers: Start, tmp_path: Path, apart: dict[str, str]
) -> None:
    first, second = make(tmp_path / "first"), make(tmp_path / "second", "second")
    installed(first, Path(apart["XDG_DATA_HOME"]))
    workers(broker, **apart).ready()
    async with Engine("memory://", broker=broker.url) as engine:
        target, other = await engine.load(str(first)), await engine.load(str(second))
        shutil.rmtree(first)
        shutil.rmtree(second)
        assert (await engine.run(target)).context["where"][0] == "first"
        with pytest.raises(RunFailed) as caught:
            await engine.run(other)
    message = caught.value.result.error.message
    assert "far 1.0" in message
    assert "has other content" in message
    assert "laneway package install" in message
    assert "--store" in message
