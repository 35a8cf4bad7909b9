"""Artifacts in runs: made and read on every lane and store, kept as long as a run has them, swept with it."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import artifact_tasks as flows
import pytest
from servers import PostgresServer, postgres_server

import laneway
from laneway import Artifact, Engine, RunFailed, artifact
from laneway._core.artifacts import ArtifactDamaged, ArtifactMissing, ArtifactTooLarge
from laneway._core.errors import RunNotFound, SettingInvalid

LANES = ("loop", "thread", "interpreter", "process")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("server")
        yield server.new_database()
    else:
        yield "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/laneway.db"


def reference(body: bytes, media_type: str = "application/octet-stream") -> dict[str, Any]:
    digest = hashlib.sha256(body).hexdigest()
    return {"$artifact": f"sha256:{digest}", "size": len(body), "media_type": media_type}


async def counts(engine: Engine) -> tuple[int, int]:
    (sizes,) = await engine.store.read("sizes")
    return sizes["artifacts"], sizes["artifact_bytes"]


def folder_of(tmp_path: Path) -> Path:
    return tmp_path / "laneway.db.artifacts"


def files_in(folder: Path) -> list[Path]:
    return [one for one in folder.rglob("*") if one.is_file()]


# ---- making and reading


async def test_every_lane_makes_and_reads_artifacts(store: str) -> None:
    async with Engine(store, workers=1) as engine:
        for lane in LANES:
            mark = lane[0]
            result = await engine.run(flows.flow_on(lane), {"size": 200_000, "mark": mark})
            big = reference(mark.encode() * 200_000, "image/png")
            more = reference(mark.encode() * 200_000 + b"!")
            assert result.context["make"] == {"big": big, "all": [reference(b"a"), reference(b"b")]}
            assert result.context["read"] == {
                "head": mark * 3, "mapped": mark * 3, "size": 200_000, "media_type": "image/png", "same": True,
                "letters": ["a", "b"], "again": big, "more": more,
            }  # fmt: skip
            assert {one.lane for one in result.steps} == {lane}
            assert (
                await engine.artifacts.read(result.context["read"]["more"]) == mark.encode() * 200_000 + b"!"
            )
            listed = await engine.artifacts.list(result.id)
            assert {one["hash"] for one in listed} == {
                one["$artifact"] for one in (big, more, reference(b"a"), reference(b"b"))
            }
        assert await counts(engine) == (2 + 2 * len(LANES), 2 + len(LANES) * 400_001)


async def test_items_of_mapped_tasks_and_values_in_contexts_are_artifacts(store: str) -> None:
    async with Engine(store, workers=1) as engine:
        result = await engine.run(flows.mapped, {"number": 3})
        assert await engine.artifacts.read(result.context["whole"]) == b"PART 0, PART 1, PART 2"
        deep = result.context["nested"]["deep"]
        assert deep == [reference(b"part 0"), {"more": reference(b"more")}]
        assert (await counts(engine))[0] == 8


async def test_programs_put_artifacts_into_contexts_and_read_those_of_results(
    store: str, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_bytes(b"from a file")
    async with Engine(store) as engine:
        one = await engine.artifacts.put(b"by hand", media_type="text/plain")
        two = await engine.artifacts.put(tmp_path / "in.txt")
        with open(tmp_path / "in.txt", "rb") as file:
            assert await engine.artifacts.put(file) == two
        assert (one.hash, one.size, one.read()) == (reference(b"by hand")["$artifact"], 7, b"by hand")
        result = await engine.run(flows.inner, {"seed": one, "also": [two.reference]})
        assert result.context["seed"] == reference(b"by hand", "text/plain")
        got = await engine.artifacts.get(result.context["inside"])
        assert isinstance(got, Artifact)
        assert got.path.read_bytes() == b"inner by hand"
        with await engine.artifacts.open_file(result.context["also"][0]) as file:
            assert file.read() == b"from a file"
        with pytest.raises(TypeError, match="is no reference"):
            await engine.artifacts.get({"size": 3})


async def test_artifacts_made_outside_of_runs_are_kept_by_the_run_they_are_given_to(store: str) -> None:
    async with Engine(store) as engine:
        seed = artifact(b"made before", media_type="text/plain")
        result = await engine.run(flows.inner, {"seed": seed})
        assert result.context["seed"] == reference(b"made before", "text/plain")
        assert await engine.artifacts.read(result.context["inside"]) == b"inner made before"
        assert [one["runs"] for one in await engine.artifacts.list()] == [1, 1]
        handle = await engine.start(flows.waiting)
        await handle.signal("answer", artifact(b"the answer"))
        result = await handle.result()
        while result.status == "suspended":
            result = await handle.result()
        assert result.context["told"] == "the answer"


def test_scripts_without_asyncio_pass_artifacts_too(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/laneway.db"
    result = laneway.run(flows.inner, {"seed": artifact(b"sync")}, store=store)
    place = Path(f"{tmp_path}/laneway.db.artifacts/objects")
    digest = result.context["inside"]["$artifact"].removeprefix("sha256:")
    assert (place / digest[:2] / digest[2:]).read_bytes() == b"inner sync"


async def test_mappings_of_other_kinds_may_hold_artifacts(store: str) -> None:
    async with Engine(store) as engine:
        result = await engine.run(flows.mapping)
        assert await engine.artifacts.read(result.context["odd"]) == b"in a UserDict"


async def test_artifact_of_a_file_is_a_copy(store: str, tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_bytes(b"as it was")
    async with Engine(store) as engine:
        result = await engine.run(flows.filed, {"file": str(source)})
        source.write_bytes(b"changed since")
        assert await engine.artifacts.read(result.context["from_a_file"]) == b"as it was"


async def test_artifact_made_in_a_thread_without_the_attempts_context_is_kept(store: str) -> None:
    async with Engine(store) as engine:
        result = await engine.run(flows.threaded)
        found = await engine.artifacts.read(result.context["from_a_bare_thread"])
        assert found == b"made in a thread of its own"


async def test_what_merely_looks_like_a_reference_stays_plain_data(store: str) -> None:
    async with Engine(store) as engine:
        result = await engine.run(flows.alike)
        assert result.context["seen"] == ["dict"] * 6 + ["str"]


# ---- as long as a run has them


async def test_runs_keep_what_they_got_from_other_runs(store: str) -> None:
    async with Engine(store) as engine:
        first = await engine.run(flows.filed, {"file": __file__})
        second = await engine.start(flows.waiting, {"given": first.context["from_a_file"]})
        await engine.sweep(0)
        assert [one["id"] for one in await engine.find()] == [second.id]
        assert await engine.artifacts.read(first.context["from_a_file"]) == Path(__file__).read_bytes()
        await second.cancel()
        await second.result(check=False)
        await engine.sweep(0)
        assert await engine.artifacts.list() == []
        with pytest.raises(ArtifactMissing, match=r"engine\.artifacts\.put"):
            await engine.start(flows.waiting, {"given": first.context["from_a_file"]})


async def test_parent_keeps_what_its_inner_run_made(store: str) -> None:
    async with Engine(store) as engine:
        result = await engine.run(flows.nested, {"text": "seed"})
        assert result.context["outside"] == "inner seed"
        (child,) = await engine.find(parent=result.id)
        made = {reference(b"seed")["$artifact"], reference(b"inner seed")["$artifact"]}
        for run in (result.id, child["id"]):
            assert {one["hash"] for one in await engine.artifacts.list(run)} == made
        assert await counts(engine) == (2, 14)
        swept = await engine.sweep(0)
        assert swept["runs"] == 2
        assert await counts(engine) == (0, 0)


async def test_fork_keeps_what_it_took_over(store: str) -> None:
    async with Engine(store) as engine:
        result = await engine.run(flows.mapped, {"number": 2})
        blocker = await engine.start(flows.waiting)
        fork = await engine.fork(result.id, flows.mapped, from_step="joined")
        forked = await fork.result()
        assert forked.context["whole"] == result.context["whole"]
        for run in (result.id, fork.id):
            assert len(await engine.artifacts.list(run)) == 6
        assert {one["runs"] for one in await engine.artifacts.list()} == {2}
        await blocker.cancel()


async def test_retried_run_reads_what_was_kept_before(store: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with Engine(store) as engine:
        with pytest.raises(RunFailed):
            await engine.run(flows.doomed, {"text": "made", "gate": str(gate)}, key="once")
        gate.touch()
        (run,) = await engine.find(key="once")
        result = await (await engine.retry(run["id"], flows.doomed, context={"text": "changed"})).result()
        assert result.context["measured"] == 7
        again = await (await engine.retry(run["id"], flows.doomed, only="all")).result()
        assert again.context["failing"] == reference(b"changed")


async def test_signal_brings_an_artifact_into_a_run(store: str) -> None:
    async with Engine(store) as engine:
        handle = await engine.start(flows.waiting)
        await handle.signal("answer", await engine.artifacts.put(b"the answer"))
        result = await handle.result()
        while result.status == "suspended":
            result = await handle.result()
        assert result.context["told"] == "the answer"
        assert [one["size"] for one in await engine.artifacts.list(result.id)] == [10]


async def test_another_engine_goes_on_with_artifacts_of_a_closed_one(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(store) as engine:
        handle = await engine.start(flows.waiting, {"given": await engine.artifacts.put(b"given")})
    async with Engine(store) as other:
        await other.signal(handle.id, "answer", await other.artifacts.put(b"late"))
        result = await (await other.resume(handle.id, flows.waiting)).result()
        assert result.context["told"] == "late"
        assert await other.artifacts.read(result.context["given"]) == b"given"


# ---- what goes wrong


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("text", "type_error", "takes bytes or a path, not text: use text.encode()"),
        ("number", "type_error", "takes bytes, a path or a file, not int"),
        ("lacking", "other", "No such file or directory"),
        ("text file", "type_error", "open it with 'rb'"),
        ("media", "other", "'png') is no media type: 'image/png' is one"),
        ("large", "other", "an artifact of more than 1 MiB is not allowed here"),
        ("large file", "other", "an artifact of more than 1 MiB is not allowed here"),
        ("made up", "other", f"artifact sha256:{'0' * 64} is not there"),
    ],
)
async def test_what_cannot_be_an_artifact_fails_the_task_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, kind: str, message: str
) -> None:
    monkeypatch.setenv("LANEWAY_ARTIFACT_MIB", "1")
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", workers=1) as engine:
        result = await engine.run(flows.wrong, {"how": how, "folder": str(tmp_path)}, check=False)
        assert result.error is not None
        assert message in result.error["message"]
        assert result.error["kind"] == kind
        assert await counts(engine) == (0, 0)
    assert files_in(folder_of(tmp_path)) == []


async def test_programs_cannot_put_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANEWAY_ARTIFACT_MIB", "0.5")
    async with Engine("memory://") as engine:
        with pytest.raises(ArtifactTooLarge, match=r"more than 0\.5 MiB"):
            await engine.artifacts.put(bytes(600_000))
        assert (await engine.artifacts.put(bytes(500_000))).size == 500_000


@pytest.mark.parametrize("how", ["damaged", "cut", "removed"])
async def test_reading_what_was_damaged_on_the_disk_says_so(tmp_path: Path, how: str) -> None:
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", workers=1) as engine:
        made = await engine.artifacts.put(b"x" * 5000)
        (file,) = files_in(folder_of(tmp_path) / "objects")
        handle = await engine.start(flows.waiting, {"given": made})
        if how == "removed":
            file.unlink()
        else:
            file.chmod(0o600)
            file.write_bytes(b"x" * 4999 + b"y" if how == "damaged" else b"x" * 4999)
        expected = ArtifactMissing if how == "removed" else ArtifactDamaged
        with pytest.raises(expected, match=made.hash):
            await engine.artifacts.read(made.reference)
        await handle.signal("answer", "nothing")
        await handle.cancel()


async def test_task_that_reads_a_damaged_artifact_fails_with_its_name(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", workers=1) as engine:
        made = await engine.artifacts.put(b"seed")
        (file,) = files_in(folder_of(tmp_path) / "objects")
        file.chmod(0o600)
        file.write_bytes(b"weed")
        result = await engine.run(flows.inner, {"seed": made}, check=False)
        assert result.error is not None
        assert result.error["type"].endswith("ArtifactDamaged")
        assert made.hash in result.error["message"]
        assert "Restore it from a backup" in result.error["message"]


async def test_keeping_it_again_mends_a_damaged_artifact(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/laneway.db") as engine:
        made = await engine.artifacts.put(b"seed")
        (file,) = files_in(folder_of(tmp_path) / "objects")
        file.chmod(0o600)
        file.write_bytes(b"weed")
        await engine.artifacts.put(b"seed")
        assert await engine.artifacts.read(made) == b"seed"


async def test_closed_engine_says_that_it_keeps_nothing() -> None:
    engine = Engine("memory://")
    with pytest.raises(SettingInvalid, match="its engine is not open"):
        await engine.artifacts.put(b"")


async def test_list_of_what_is_no_run_says_so(store: str) -> None:
    async with Engine(store) as engine:
        with pytest.raises(RunNotFound, match="no run 'nonsense'"):
            await engine.artifacts.list("nonsense")
        assert await engine.artifacts.list(str(uuid4())) == []


# ---- folders


async def test_one_database_has_one_folder_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "link.db").symlink_to(tmp_path / "laneway.db")
    async with (
        Engine(f"sqlite:///{tmp_path}/laneway.db") as one,
        Engine(f"sqlite:///{tmp_path}/else/link.db") as other,
    ):
        made = await other.artifacts.put(b"by another name")
        assert await one.artifacts.read(made.reference) == b"by another name"
        assert not (tmp_path / "else" / "link.db.artifacts").exists()


async def test_folder_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", workers=1) as engine:
        first = await engine.run(flows.mapped, {"number": 1})
        shutil.rmtree(folder_of(tmp_path))
        with pytest.raises(ArtifactMissing):
            await engine.artifacts.read(first.context["whole"])
        second = await engine.run(flows.mapped, {"number": 1})
        assert second.context == first.context
        assert await engine.artifacts.read(first.context["whole"]) == b"PART 0"


async def test_engine_without_artifacts_leaves_no_folder(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", workers=1) as engine:
        assert (await engine.run(flows.alike)).status == "succeeded"
        assert not folder_of(tmp_path).exists()
    assert not folder_of(tmp_path).exists()


async def test_what_a_task_threw_away_is_gone_and_so_is_the_staging_at_the_end(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", workers=1) as engine:
        assert (await engine.run(flows.discarding, {"number": 20})).context["discards"] == 20
        assert files_in(folder) == []
        await engine.run(flows.filed, {"file": __file__})
        assert len(files_in(folder)) == 1
    assert not (folder / "staging").exists()
    assert len(files_in(folder / "objects")) == 1


async def test_sweep_clears_what_a_killed_engine_left(tmp_path: Path) -> None:
    store, folder = f"sqlite:///{tmp_path}/laneway.db", folder_of(tmp_path)
    async with Engine(store) as engine:
        living = await engine.artifacts.put(b"living")
        name = next(one.name for one in (folder / "staging").iterdir())
        pid, started, host, boot, _ = name.split("-")
        dead = [
            folder / "staging" / f"999999999-1-{host}-{boot}-dead",
            folder / "staging" / f"{pid}-1-{host}-{boot}-reused",
            folder / "staging" / f"{pid}-{started}-{'0' * 12}-{'0' * 12}-rebooted",
        ]
        for one in dead:
            (one / "engine").mkdir(parents=True)
            (one / "engine" / "1.part").write_bytes(b"left")
        stray = folder / "objects" / "ab" / ("c" * 62)
        stray.parent.mkdir()
        stray.write_bytes(b"its step was never committed")
        (folder / "objects" / "ab" / "odd").write_bytes(b"")
        await engine.sweep(0)
        assert [one.exists() for one in dead] == [False] * 3
        assert (folder / "staging" / name).exists()
        assert not stray.parent.exists()
        assert living.read() == b"living"


async def test_distant_artifacts_are_fetched_once_and_their_copies_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with Engine("memory://", workers=1) as engine:
        result = await engine.run(flows.mapped, {"number": 3})
        copies = files_in(tmp_path)
        assert len(copies) == 8
        assert all(one.stat().st_mode & 0o222 == 0 for one in copies)
        assert await engine.artifacts.read(result.context["whole"]) == b"PART 0, PART 1, PART 2"
    assert files_in(tmp_path) == []


async def test_files_are_for_reading_only_and_private(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/laneway.db") as engine:
        made = await engine.artifacts.put(b"secret")
        assert made.path.stat().st_mode & 0o777 == 0o400
        assert made.path.parent.stat().st_mode & 0o077 == 0


async def test_many_at_once_keep_everything(store: str) -> None:
    async with Engine(store, workers=2) as engine:
        runs = [engine.run(flows.flow_on("thread"), {"size": 10, "mark": f"{one % 7}"}) for one in range(60)]
        results = await asyncio.gather(*runs)
        for one in results:
            data = await engine.artifacts.read(one.context["read"]["more"])
            assert data == one.context["mark"].encode() * 10 + b"!"
        assert (await counts(engine))[0] == 2 + 14
        await engine.sweep(0)
        assert await counts(engine) == (0, 0)


def test_artifacts_work_without_an_engine() -> None:
    made = artifact(b"alone", media_type="text/plain")
    assert (made.read(), made.path.read_bytes(), os.fspath(made)) == (b"alone", b"alone", str(made.path))
    assert made.reference == reference(b"alone", "text/plain")
    assert made.read() == b"alone"
    context: dict[str, Any] = {"shouted": [made], "parts": [made]}
    flows.joined(context)
    assert context["whole"].read() == b"alone"
