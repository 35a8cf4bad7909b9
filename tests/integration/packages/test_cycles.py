"""Loading, running, replacing and removing packages again and again leaves nothing behind."""

import asyncio
import gc
import os
from pathlib import Path

import pytest
from package_folders import make_folder

from laneway import Engine
from laneway.engine.target import Target
from laneway.packages import Package, PackageCache, build_archive, open_package
from laneway.targets import target_in

CODE = """
from laneway import Workflow, task
import helper

@task(lane="interpreter")
def number(base):
    return base + helper.VALUE

flow = Workflow("flow", [number])
"""
MANIFEST = '[package]\nname = "cycle"\nversion = "1.{number}"\nentry_module = "shop_tasks"\n'
CYCLES = int(os.environ.get("LANEWAY_TEST_CYCLES", "100"))


def _descendants() -> list[int]:
    """All live processes that this one started, directly or not."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, pending = [], [os.getpid()]
    while pending:
        children = parents.get(pending.pop(), [])
        found += children
        pending += children
    return found


def _resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def _figures(cache: Path) -> dict[str, int]:
    gc.collect()
    children = _descendants()
    return {
        "kib": _resident_kib(os.getpid()),
        "children_kib": sum(_resident_kib(pid) for pid in children),
        "children": len(children),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "child_descriptors": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in children),
        "child_threads": sum(len(os.listdir(f"/proc/{pid}/task")) for pid in children),
        "files": len([*cache.rglob("*")]),
    }


async def _load(engine: Engine, archive: Path, cache: PackageCache) -> tuple[Package, Target]:
    package = open_package(archive, cache=cache)
    return package, await target_in(package, engine.fleet)


async def _drop(engine: Engine, package: Package, cache: PackageCache) -> None:
    for lane in engine.lanes.values():
        await lane.retire(package.unit().key)
    assert package.hold is not None
    package.hold.close()
    assert await asyncio.to_thread(cache.remove, package.content_hash) == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_load_run_replace_remove_cycles_do_not_grow(tmp_path: Path) -> None:
    cache = PackageCache(tmp_path / "cache")
    async with Engine("memory://", workers=1, grace=1) as engine:
        before: dict[str, int] = {}
        running: Package | None = None
        for number in range(CYCLES):
            root = make_folder(
                tmp_path / "folder",
                MANIFEST.format(number=number),
                {"src/shop_tasks.py": CODE, "src/helper.py": f"VALUE = {number}\n"},
            )
            build_archive(open_package(root), tmp_path / "cycle.lane")
            package, target = await _load(engine, tmp_path / "cycle.lane", cache)
            result = await engine.run(target, {"base": 1000})
            assert result.context["number"] == 1000 + number
            if running is not None:
                await _drop(engine, running, cache)
            running = package
            if number == CYCLES // 5:
                before = _figures(tmp_path / "cache")
        after = _figures(tmp_path / "cache")
        assert running is not None
        await _drop(engine, running, cache)
        assert [*(tmp_path / "cache").iterdir()] == []
    print(f"\n{CYCLES} cycles, after a fifth: {before}\nat the end: {after}")
    for figure in ("children", "descriptors", "child_descriptors", "child_threads", "files"):
        assert after[figure] <= before[figure], figure
    assert after["children_kib"] <= before["children_kib"] * 1.1 + 4096
    assert after["kib"] <= before["kib"] * 1.1 + 4096
    assert _descendants() == [] or len(_descendants()) <= before["children"]
