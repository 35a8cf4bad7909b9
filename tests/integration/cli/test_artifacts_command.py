"""`laneway artifacts` lists what runs keep and writes it to files; `laneway gc` takes it with its runs."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import artifact_tasks as flows
import pytest

from laneway import Engine


def command(store: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "laneway", *arguments, "--store", store]
    return subprocess.run(line, capture_output=True, check=False, timeout=50)


def text(result: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(result.stderr.decode().split())


@pytest.fixture
async def store(tmp_path: Path) -> str:
    """A store with one run that keeps eight artifacts."""
    url = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url, workers=1) as engine:
        await engine.run(flows.mapped, {"number": 3})
    return url


WHOLE = b"PART 0, PART 1, PART 2"
DIGEST = hashlib.sha256(WHOLE).hexdigest()


def test_artifacts_are_listed_with_where_they_are(store: str) -> None:
    rows = json.loads(command(store, "artifacts", "list", "--json").stdout)
    assert len(rows) == 8
    assert {row["runs"] for row in rows} == {1}
    rows = json.loads(command(store, "artifacts", "list", "--run", "latest", "--json").stdout)
    places = {row["hash"]: (row["places"], row["media_types"], row["size"]) for row in rows}
    assert places[f"sha256:{DIGEST}"] == (["whole"], ["application/octet-stream"], len(WHOLE))
    first = hashlib.sha256(b"part 0").hexdigest()
    assert sorted(places[f"sha256:{first}"][0]) == ["nested.deep[0]", "parts[0]"]
    shown = command(store, "artifacts", "list", "--run", "latest").stdout.decode()
    assert "shouted[2]" in shown
    assert "text/plain" in shown
    assert DIGEST[:16] in shown


def test_artifact_is_written_to_a_file_or_a_pipe(store: str, tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    assert command(store, "artifacts", "get", DIGEST[:8], "-o", str(target)).returncode == 0
    assert target.read_bytes() == WHOLE
    assert command(store, "artifacts", "get", f"sha256:{DIGEST}").stdout == WHOLE
    refused = command(store, "artifacts", "get", DIGEST, "-o", str(target))
    assert refused.returncode == 2
    assert "it is there already. Use --force" in text(refused)
    target.write_bytes(b"old")
    assert command(store, "artifacts", "get", DIGEST, "-o", str(target), "--force").returncode == 0
    assert target.read_bytes() == WHOLE
    assert [one for one in tmp_path.iterdir() if one.name.startswith(".laneway")] == []


def test_wrong_names_are_told_what_there_is(store: str, tmp_path: Path) -> None:
    for name in ("0" * 64, "abc", "zzzz", "sha256:"):
        refused = command(store, "artifacts", "get", name)
        assert refused.returncode == 1
        assert "`laneway artifacts list` shows what there is" in text(refused)
        assert refused.stdout == b""
    nowhere = command(store, "artifacts", "get", DIGEST, "-o", str(tmp_path / "none" / "file"))
    assert "there is no folder" in text(nowhere)
    missing = command(f"sqlite:///{tmp_path}/none.db", "artifacts", "list")
    assert "there is no store" in text(missing)
    assert not (tmp_path / "none.db").exists()
    assert "no run" in text(command(store, "artifacts", "list", "--run", "0123"))


def test_damaged_and_lost_artifacts_are_not_written(store: str, tmp_path: Path) -> None:
    file = tmp_path / "laneway.db.artifacts" / "objects" / DIGEST[:2] / DIGEST[2:]
    file.chmod(0o600)
    file.write_bytes(b"other")
    target = tmp_path / "out.bin"
    damaged = command(store, "artifacts", "get", DIGEST, "-o", str(target))
    assert (damaged.returncode, target.exists()) == (1, False)
    assert f"artifact sha256:{DIGEST} is damaged" in text(damaged)
    file.unlink()
    lost = command(store, "artifacts", "get", DIGEST, "-o", str(target))
    assert (lost.returncode, target.exists()) == (1, False)
    assert "its bytes are gone" in text(lost)


def test_file_is_kept_for_a_run_that_is_started_by_command(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/new.db"
    (tmp_path / "in.png").write_bytes(b"some picture")
    put = command(store, "artifacts", "put", str(tmp_path / "in.png"))
    reference = json.loads(put.stdout)
    assert (reference["size"], reference["media_type"]) == (12, "image/png")
    target = f"{Path(flows.__file__)}:inner"
    run = command(store, "run", target, "-c", f"seed={put.stdout.decode().strip()}", "--json")
    assert json.loads(run.stdout)["context"]["inside"]["size"] == len(b"inner some picture")
    lacking = command(store, "artifacts", "put", str(tmp_path / "none.png"))
    assert (lacking.returncode, lacking.stdout) == (2, b"")
    assert "No such file or directory" in text(lacking)
    wrong = command(store, "artifacts", "put", str(tmp_path / "in.png"), "--media-type", "png")
    assert "Use one such as image/png" in text(wrong)


def test_gc_takes_artifacts_with_their_runs(store: str, tmp_path: Path) -> None:
    swept = json.loads(command(store, "gc", "--older-than", "0s", "--json").stdout)
    assert swept["swept"]["artifacts"] == 8
    assert swept["sizes"]["artifact_bytes"] == 0
    assert not (tmp_path / "laneway.db.artifacts").exists()
    assert "no artifacts" in text(command(store, "artifacts", "list"))
