"""A package that was described before is not loaded again to describe it, and is as safe as if it were."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from package_folders import MANIFEST, make_folder

from laneway import Engine
from laneway._core.errors import ArchiveRefused, PackageImportFailed, SignatureRefused
from laneway._core.model import TaskSpec
from laneway.packages import Trust, build_archive, open_package
from laneway.packages._record import record_text
from laneway.packages.opening import default_cache
from laneway.packages.signing import new_key, sign_record
from laneway.targets import discovered, find_target, target_in

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("own_cache")]

CODE = "from laneway import task\n@task(cpu=True)\ndef shout(text: str): return text.upper()\n"


@asynccontextmanager
async def another_program() -> AsyncIterator[Engine]:
    default_cache.cache_clear()
    async with Engine("memory://", workers=1, grace=1) as engine:
        yield engine


def workers(engine: Engine) -> int:
    return sum(len(lane.health().workers) for lane in engine.lanes.values())


@pytest.mark.parametrize("form", ["folder", "archive"])
async def test_second_program_describes_a_package_without_a_worker_and_runs_it(
    form: str, tmp_path: Path
) -> None:
    place = make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE})
    if form == "archive":
        build_archive(open_package(place), tmp_path / "shop.lane")
        place = tmp_path / "shop.lane"
    async with another_program() as engine:
        first = await engine.load(str(place))
        assert workers(engine) == 1
    async with another_program() as engine:
        second = await engine.load(str(place))
        assert workers(engine) == 0
        assert second == first
        result = await engine.run(second, {"text": "abc"})
        assert result.context["shout"] == "ABC"
        assert result.steps[0].lane == "interpreter"


async def test_change_in_a_folder_is_seen_at_once_and_so_is_the_way_back(tmp_path: Path) -> None:
    async def tasks() -> list[str]:
        async with another_program() as engine:
            return [task.id for task in (await engine.load(str(place))).workflow.tasks]

    place = make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE})
    assert await tasks() == ["shout"]
    make_folder(place, files={"src/shop_tasks.py": CODE.replace("shout", "whisper")})
    assert await tasks() == ["whisper"]
    make_folder(place, files={"src/shop_tasks.py": CODE})
    assert await tasks() == ["shout"]


async def test_files_that_change_while_they_are_described_are_not_mistaken_for_the_earlier_ones(
    tmp_path: Path,
) -> None:
    place = make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE})
    opened = open_package(place)
    make_folder(place, files={"src/shop_tasks.py": CODE.replace("shout", "whisper")})
    async with another_program() as engine:
        assert (await target_in(opened, engine.fleet)).workflow.tasks[0].id == "whisper"
    make_folder(place, files={"src/shop_tasks.py": CODE})
    async with another_program() as engine:
        assert (await target_in(open_package(place), engine.fleet)).workflow.tasks[0].id == "shout"


async def test_damaged_knowledge_is_as_none(tmp_path: Path, own_cache: Path) -> None:
    place = make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE})
    async with another_program() as engine:
        first = await engine.load(str(place))
    [file] = (own_cache / "discovered").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    async with another_program() as engine:
        assert await engine.load(str(place)) == first
        assert workers(engine) == 1
    assert file.read_bytes() == whole


async def test_lane_choice_knows_from_the_earlier_look_that_an_interpreter_refuses(tmp_path: Path) -> None:
    vendor = tmp_path / "shop" / "vendor" / "msgspec"
    shutil.copytree(Path(msgspec.__file__).parent, vendor, ignore=shutil.ignore_patterns("__pycache__"))
    manifest = f'{MANIFEST}[policy]\nnative = ["msgspec"]\n'
    place = make_folder(tmp_path / "shop", manifest, {"src/shop_tasks.py": f"import msgspec\n{CODE}"})
    chosen: list[tuple[object, ...]] = []
    for _ in range(2):
        async with another_program() as engine:
            target = await engine.load(str(place))
            assert target.unit is not None
            reason = engine.lanes["interpreter"].refusal(target.unit, TaskSpec("shout", "shop_tasks:shout"))
            chosen.append((workers(engine) > 0, reason, engine.choice(target.workflow.tasks[0], target.unit)))
            result = await engine.run(target, {"text": "abc"})
            assert result.steps[0].lane == "process"
    assert [was_loaded for was_loaded, *_ in chosen] == [True, False]
    assert chosen[0][1:] == chosen[1][1:]
    assert "cannot be loaded in an interpreter" in str(chosen[1][1])


async def test_switching_interpreters_off_is_another_matter(tmp_path: Path) -> None:
    place = make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE})
    async with another_program() as engine:
        await engine.load(str(place))
    for expected in (1, 0):
        async with Engine("memory://", workers=1, grace=1, interpreters=False) as engine:
            await engine.load(str(place))
            assert workers(engine) == expected


async def test_environment_that_a_package_may_see_is_part_of_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = f'{MANIFEST}[policy]\nenvironment = ["SHOP_MODE"]\n'
    code = "import os\nfrom laneway import task\n@task(id=os.environ['SHOP_MODE'])\ndef shout(text): return text\n"
    place = make_folder(tmp_path / "shop", manifest, {"src/shop_tasks.py": code})
    for mode, loaded in (("loud", 1), ("quiet", 1), ("loud", 0)):
        monkeypatch.setenv("SHOP_MODE", mode)
        async with another_program() as engine:
            assert (await engine.load(str(place))).workflow.tasks[0].id == mode
            assert workers(engine) == loaded


async def test_import_that_failed_is_tried_again(tmp_path: Path, own_cache: Path) -> None:
    manifest = f"{MANIFEST}[limits]\nimport_seconds = 0.5\n"
    code = f"import threading\n{CODE}\nthreading.Event().wait()\n"
    place = make_folder(tmp_path / "shop", manifest, {"src/shop_tasks.py": code})
    for _ in range(2):
        async with another_program() as engine:
            with pytest.raises(PackageImportFailed):
                await engine.load(str(place))
    assert not [*own_cache.glob("discovered/*")]


async def test_bytes_and_signatures_are_checked_at_every_load_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    folder = make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE})
    archive = tmp_path / "shop.lane"
    build_archive(open_package(folder), archive)
    async with another_program() as engine:
        await engine.load(str(archive))
    async with another_program() as engine:
        monkeypatch.setenv("LANEWAY_SIGNED_ONLY", "on")
        with pytest.raises(SignatureRefused):
            await engine.load(str(archive))
        monkeypatch.delenv("LANEWAY_SIGNED_ONLY")
        [tree] = [path for path in own_cache.iterdir() if path.is_dir() and path.name != "discovered"]
        (tree / "src" / "shop_tasks.py").write_text("raise SystemExit('changed')\n")
        result = await engine.run(str(archive), {"text": "abc"})  # extracted anew
        assert result.context["shout"] == "ABC"
        archive.write_bytes(archive.read_bytes()[:-40])
        with pytest.raises(ArchiveRefused):
            await engine.load(str(archive))


async def test_package_that_a_trusted_key_signed_is_always_described_by_its_own_code(
    tmp_path: Path, own_cache: Path
) -> None:
    folder = make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE})
    key = new_key(tmp_path / "ada.key")
    signature = sign_record(record_text(open_package(folder).files).encode(), tmp_path / "ada.key")
    build_archive(open_package(folder), tmp_path / "shop.lane", signature=signature)
    for _ in range(2):
        async with another_program() as engine:
            package = open_package(tmp_path / "shop.lane", trust=Trust((key,), allow_unsigned=False))
            assert (await target_in(package, engine.fleet)).workflow.tasks[0].id == "shout"
            assert workers(engine) == 1
    assert not [*own_cache.glob("discovered/*")]


async def test_many_engines_at_once_describe_one_package_alike(tmp_path: Path) -> None:
    place = make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE})

    async def load() -> object:
        async with Engine("memory://", workers=1, grace=1) as engine:
            return await find_target(str(place), engine.fleet)

    found = await asyncio.gather(*(load() for _ in range(5)))
    assert all(one == found[0] for one in found)
    async with another_program() as engine:
        assert await engine.load(str(place)) == found[0]
        assert workers(engine) == 0


async def test_looking_afresh_loads_the_package_and_replaces_what_was_known(
    tmp_path: Path, own_cache: Path
) -> None:
    package = open_package(make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE}))
    async with another_program() as engine:
        found = await discovered(package, engine.fleet)
    [file] = (own_cache / "discovered").iterdir()
    file.unlink()
    async with another_program() as engine:
        assert await discovered(package, engine.fleet, afresh=True) == found
        assert workers(engine) == 1
    assert file.exists()
    async with another_program() as engine:
        assert await discovered(package, engine.fleet) == found
        assert workers(engine) == 0


async def test_removing_a_package_removes_what_is_known_of_it(tmp_path: Path, own_cache: Path) -> None:
    build_archive(
        open_package(make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE})),
        tmp_path / "shop.lane",
    )
    async with another_program() as engine:
        await engine.load(str(tmp_path / "shop.lane"))
    content = open_package(tmp_path / "shop.lane").content_hash
    default_cache().close()
    assert [*own_cache.glob("discovered/*")]
    default_cache().remove(content)
    assert not [*own_cache.glob("discovered/*")]
