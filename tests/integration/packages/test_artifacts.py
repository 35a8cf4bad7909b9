"""Packages make and read artifacts whatever their policy says of files, and nothing else comes with that."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from package_folders import make_folder

from laneway import Engine

MANIFEST = '[package]\nname = "maker"\nversion = "1.0"\nentry_module = "maker_tasks"\n'

SOURCE = """
import os
from laneway import Workflow, artifact, task


def refused(work):
    try:
        work()
    except PermissionError as error:
        return type(error).__name__
    return "done"


def used(given, folder):
    other = folder + "/" + sorted(OTHERS)[0] if OTHERS else folder + "/ab/cd"
    with given.open() as file:
        head = file.read(5).decode()
    path = given.path
    with open(path, "rb") as file:
        by_path = file.read()
    with open(given, "rb") as file:
        by_name = file.read()
    return {
        "head": head,
        "same": by_path == by_name == given.read(),
        "made": artifact(by_path.upper(), media_type="text/plain"),
        "lists": refused(lambda: os.listdir(folder)),
        "writes": refused(lambda: open(folder + "/new", "w")),
        "overwrites": refused(lambda: open(path, "r+")),
        "removes": refused(lambda: os.unlink(path)),
        "elsewhere": refused(lambda: open(folder + "/../../secret.txt").read()),
        "others": refused(lambda: open(given.path.parents[1] / UNSEEN)),
        "makes": refused(lambda: artifact(__import__("pathlib").Path(folder + "/../../secret.txt"))),
    }


OTHERS = []
UNSEEN = "{unseen}"


@task(id="used", lane="{lane}")
def used_here(given, folder):
    return used(given, folder)


@task(id="after", lane="{lane}")
def after(used):
    return used["made"].read().decode()


flow = Workflow("flow", [used_here, after])
"""


@pytest.mark.parametrize("lane", ["thread", "interpreter", "process"])
async def test_package_without_file_access_makes_and_reads_artifacts(tmp_path: Path, lane: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "laneway.db.artifacts" / "objects"
    unseen = hashlib.sha256(b"of another run").hexdigest()
    source = SOURCE.replace("{lane}", lane).replace("{unseen}", f"{unseen[:2]}/{unseen[2:]}")
    package = make_folder(tmp_path / "maker", MANIFEST, {"src/maker_tasks.py": source})
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", workers=1) as engine:
        await engine.artifacts.put(b"of another run")
        given = await engine.artifacts.put(b"given to it")
        result = await engine.run(str(package), {"given": given, "folder": str(folder)})
        used: dict[str, Any] = result.context["used"]
        assert (used["head"], used["same"], result.context["after"]) == ("given", True, "GIVEN TO IT")
        refusals = {
            name: used[name]
            for name in ("lists", "writes", "overwrites", "removes", "elsewhere", "others", "makes")
        }
        assert refusals == dict.fromkeys(refusals, "PolicyViolation")
        assert await engine.artifacts.read(used["made"]) == b"GIVEN TO IT"
        assert {one.lane for one in result.steps} == {lane}


LIAR = """
import os
from laneway import Workflow, artifact, task


@task(lane="process")
def lie(how):
    made = artifact(b"honest")
    reference = made.reference
    staging = made._desk.staging
    staged = staging + "/" + made.digest
    if how == "other content":
        with open(staged, "wb") as file:
            file.write(b"poison")
    elif how == "a link":
        os.unlink(staged)
        os.symlink("/etc/passwd", staged)
    elif how == "a folder":
        os.unlink(staged)
        os.mkdir(staged)
    elif how == "too large":
        with open(staged, "wb") as file:
            file.truncate(3_000_000)
    return reference


flow = Workflow("flow", [lie])
"""


@pytest.mark.parametrize("how", ["other content", "a link", "a folder", "too large"])
async def test_package_cannot_pass_off_other_content_as_an_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A poisoned artifact would be read by whoever makes or gets the honest one."""
    monkeypatch.setenv("LANEWAY_ARTIFACT_MIB", "1")
    manifest = MANIFEST + "[policy]\nfilesystem = { read = true, write = true }\n"
    package = make_folder(tmp_path / "maker", manifest, {"src/maker_tasks.py": LIAR})
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", workers=1) as engine:
        result = await engine.run(str(package), {"how": how}, check=False)
        assert result.status == "failed"
        assert result.error is not None
        assert result.error["type"].startswith("Artifact"), result.error
        assert await engine.artifacts.list() == []
        assert (await engine.artifacts.put(b"honest")).read() == b"honest"
    assert not os.path.islink(tmp_path / "laneway.db.artifacts")
