"""Engines that take, remove and prune the same packages at the same time never see half a package."""

import multiprocessing
import random
from pathlib import Path

import pytest
from package_folders import make_folder

from laneway._core.errors import PackageInUse
from laneway.packages import PackageCache, build_archive, open_package

pytestmark = pytest.mark.timeout(120)

ROUNDS = 150


def _text(number: int) -> str:
    return f"x = {number}\n" * 50


def _engine(seed: int, folder: Path, hashes: list[str], results: object) -> None:
    choose = random.Random(seed)
    cache = PackageCache(folder / "cache")
    wrong = 0
    for _ in range(ROUNDS):
        number = choose.randrange(len(hashes))
        if choose.random() < 0.6:
            package = open_package(folder / f"{number}.lane", cache=cache)
            wrong += (package.root / "src/shop_tasks.py").read_text() != _text(number)
            if choose.random() < 0.03:
                (package.root / "src/planted.py").write_text("evil = 1\n")
            wrong += (package.root / "src/shop_tasks.py").read_text() != _text(number)
            assert package.hold is not None
            package.hold.close()
        elif choose.random() < 0.9:
            try:
                cache.remove(hashes[number], wait_seconds=choose.choice([0, 0.05]))
            except PackageInUse:
                continue
        else:
            cache.prune(0)
    results.put(wrong)  # type: ignore[attr-defined]  # a queue


@pytest.mark.slow
def test_engines_that_share_a_cache_never_see_half_a_package(tmp_path: Path) -> None:
    hashes = []
    for number in range(3):
        more = {f"src/m{index}.py": "y = 1\n" for index in range(20)}
        package = open_package(
            make_folder(tmp_path / f"f{number}", files={"src/shop_tasks.py": _text(number)} | more)
        )
        build_archive(package, tmp_path / f"{number}.lane")
        hashes.append(package.content_hash)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    engines = [context.Process(target=_engine, args=(seed, tmp_path, hashes, results)) for seed in range(4)]
    for engine in engines:
        engine.start()
    assert [results.get(timeout=90) for _ in engines] == [0, 0, 0, 0]
    for engine in engines:
        engine.join()
        assert engine.exitcode == 0
    cache = PackageCache(tmp_path / "cache")
    cache.prune(0)
    assert [*(tmp_path / "cache").iterdir()] == []
