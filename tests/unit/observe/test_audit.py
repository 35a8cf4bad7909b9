"""The audit log: whatever is done to its files afterwards is found."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laneway.observe._audit_chain import START, line_of
from laneway.observe.audit import AuditBroken, AuditLog, entries, verify

WHO = {"user": "ann", "pid": 1, "engine": "e"}


def entry(number: int) -> dict[str, Any]:
    return {"at": "2026-11-21T00:00:00Z", "who": WHO, "what": "run_started", "run": f"run-{number}"}


def written(folder: Path, count: int, *, max_bytes: int = 700) -> None:
    log = AuditLog(folder, max_bytes=max_bytes)
    for number in range(count):
        log.append([entry(number)])
    log.close()


def all_lines(folder: Path) -> list[tuple[Path, bytes]]:
    return [
        (path, line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines(True)
    ]


def put_back(folder: Path, lines: list[tuple[Path, bytes]]) -> None:
    for path in folder.glob("*.jsonl"):
        path.write_bytes(b"")
    for path, line in lines:
        with path.open("ab") as stream:
            stream.write(line)


def test_what_was_written_is_intact_over_several_files(tmp_path: Path) -> None:
    written(tmp_path, 20)
    found = verify(tmp_path)
    assert found.is_intact
    assert found.entries == 20
    assert found.files > 3
    assert [one["run"] for one in entries(tmp_path)] == [f"run-{number}" for number in range(20)]


def test_the_chain_goes_on_after_reopening(tmp_path: Path) -> None:
    for _ in range(4):
        written(tmp_path, 3)
    assert verify(tmp_path).is_intact
    assert verify(tmp_path).entries == 12


def test_the_folder_and_files_are_the_users_own(tmp_path: Path) -> None:
    written(tmp_path / "audit", 1)
    assert (tmp_path / "audit").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "audit").iterdir())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    written(folder, 12)
    return folder


EDITS = ("change", "remove", "swap", "repeat", "insert", "cut", "truncate", "drop file", "forge")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_edit_is_found(
    original: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("edited")
    for path in original.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    lines = all_lines(folder)
    index = data.draw(st.integers(0, len(lines) - 1))
    path, line = lines[index]
    edit = data.draw(st.sampled_from(EDITS))
    if edit == "change":
        at = data.draw(st.integers(0, len(line) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda value: value != line[at]))
        lines[index] = path, line[:at] + bytes([byte]) + line[at + 1 :]
    elif edit == "remove":
        count = data.draw(st.integers(1, 3))
        del lines[index : index + count]
    elif edit == "swap":
        other = data.draw(st.integers(0, len(lines) - 1).filter(lambda value: value != index))
        lines[index], lines[other] = (path, lines[other][1]), (lines[other][0], line)
    elif edit == "repeat":
        lines.insert(data.draw(st.integers(0, len(lines))), (path, line))
    elif edit == "insert":
        forged = {**entry(99), "seq": index + 1, "prev": "0" * 64, "hash": "1" * 64}
        lines.insert(index, (path, json.dumps(forged).encode() + b"\n"))
    elif edit == "cut":
        lines[index] = path, line[: data.draw(st.integers(0, len(line) - 1))]
    elif edit == "truncate":
        del lines[index:]
    elif edit == "forge":  # a line that is right by itself: what comes after it gives it away
        told = json.loads(line)
        made, _ = line_of({**entry(99)}, told["seq"], told["prev"])
        lines[index] = path, made
    put_back(folder, lines)
    if edit == "drop file":
        path.unlink()
    assert not verify(folder).is_intact, edit


def test_removed_last_entries_are_found(original: Path, tmp_path: Path) -> None:
    for path in original.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    put_back(tmp_path, all_lines(tmp_path)[:-2])
    assert "the last 2 entries are missing" in verify(tmp_path).problems[0].reason


def test_a_log_that_was_made_anew_does_not_have_the_anchor(tmp_path: Path) -> None:
    written(tmp_path / "true", 5)
    anchor = (5, verify(tmp_path / "true").hash)
    assert verify(tmp_path / "true", anchor=anchor).is_intact
    log = AuditLog(tmp_path / "anew")
    log.append([{**entry(number), "run": "another"} for number in range(8)])
    log.close()
    assert verify(tmp_path / "anew").is_intact
    assert not verify(tmp_path / "anew", anchor=anchor).is_intact


def test_what_a_process_wrote_before_it_died_is_taken_in(tmp_path: Path) -> None:
    written(tmp_path, 2, max_bytes=10_000)
    head = (tmp_path / "head").read_bytes()
    before = verify(tmp_path).hash
    line, after = line_of(entry(2), 3, before)
    with (tmp_path / "000001.jsonl").open("ab") as stream:
        stream.write(line)
        stream.write(line_of(entry(3), 4, after)[0][:20])  # torn
    assert (tmp_path / "head").read_bytes() == head
    written(tmp_path, 1, max_bytes=10_000)
    found = verify(tmp_path)
    assert found.is_intact, found.problems
    assert found.entries == 4


def test_nothing_is_appended_to_a_log_that_was_shortened(tmp_path: Path) -> None:
    written(tmp_path, 3, max_bytes=10_000)
    put_back(tmp_path, all_lines(tmp_path)[:-1])
    with pytest.raises(AuditBroken, match="shorter"):
        written(tmp_path, 1)


def _append(folder: str, count: int) -> None:
    written(Path(folder), count, max_bytes=2000)


def test_processes_that_append_at_once_make_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(str(tmp_path), 40)) for _ in range(3)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(30)
        assert one.exitcode == 0
    found = verify(tmp_path)
    assert found.is_intact, found.problems
    assert found.entries == 120


def test_an_empty_folder_is_intact(tmp_path: Path) -> None:
    found = verify(tmp_path)
    assert found.is_intact
    assert (found.entries, found.hash) == (0, START)
