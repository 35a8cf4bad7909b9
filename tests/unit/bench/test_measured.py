"""What is kept of measurements: for which content, build and machine it holds."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lane_results import lane, times

from laneway._core.model import TaskSpec
from laneway.assembly import Assembly
from laneway.compat import measured
from laneway.compat.measured import MeasuredTimes, build_label
from laneway.lanes import Fleet, InterpreterLane, ProcessLane, ThreadLane
from laneway.ports import Unit


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "work.py"
    file.write_text("def burn(): ...\n", "utf-8")
    return file


def spec_in(source: Path, name: str = "burn") -> TaskSpec:
    return TaskSpec(name, f"work:{name}", cpu=True, file=str(source))


def unit_of(key: str = "module:work") -> Unit:
    return Unit(key, "module", "work", name="work")


FOUND = msgspec.structs.replace(times(lane("interpreter", 2.0)), python=build_label())


def test_a_result_is_found_again_by_others(tmp_path: Path, source: Path) -> None:
    MeasuredTimes(tmp_path / "kept").keep(spec_in(source), unit_of(), FOUND)
    assert MeasuredTimes(tmp_path / "kept").look(spec_in(source), unit_of()) == FOUND


def test_it_holds_for_the_same_file_run_as_a_script_or_imported(tmp_path: Path, source: Path) -> None:
    store = MeasuredTimes(tmp_path / "kept")
    store.keep(spec_in(source), unit_of(), FOUND)
    as_script = spec_in(source)._replace(reference="__main__:burn")
    assert store.look(as_script, Unit(f"script:{source}", "script", str(source))) == FOUND


def test_another_task_does_not_have_it(tmp_path: Path, source: Path) -> None:
    store = MeasuredTimes(tmp_path / "kept")
    store.keep(spec_in(source), unit_of(), FOUND)
    assert store.look(spec_in(source, "other"), unit_of()) is None


def test_a_changed_source_file_makes_it_unknown(tmp_path: Path, source: Path) -> None:
    store = MeasuredTimes(tmp_path / "kept")
    store.keep(spec_in(source), unit_of(), FOUND)
    source.write_text("def burn(): return 1\n", "utf-8")
    assert store.look(spec_in(source), unit_of()) is None


def test_a_package_is_known_by_its_content_wherever_it_is(tmp_path: Path) -> None:
    store = MeasuredTimes(tmp_path / "kept")
    package = Unit("package:p@1:abc", "package", "p", paths=("/here/src",))
    spec = TaskSpec("burn", "p:burn", file="/here/src/p.py")
    store.keep(spec, package, FOUND)
    moved = msgspec.structs.replace(package, paths=("/there/src",))
    assert store.look(spec._replace(file="/there/src/p.py"), moved) == FOUND
    assert store.look(spec, msgspec.structs.replace(package, key="package:p@1:def")) is None


@pytest.mark.parametrize("what", ["cpu_label", "build_label"])
def test_another_processor_or_build_does_not_have_it(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store = MeasuredTimes(tmp_path / "kept")
    store.keep(spec_in(source), unit_of(), FOUND)
    monkeypatch.setattr(measured, what, lambda: "another")
    assert store.look(spec_in(source), unit_of()) is None


def test_another_number_of_cores_does_not_have_it(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MeasuredTimes(tmp_path / "kept")
    store.keep(spec_in(source), unit_of(), FOUND)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64)
    assert store.look(spec_in(source), unit_of()) is None


def test_a_damaged_result_counts_as_missing(tmp_path: Path, source: Path) -> None:
    store = MeasuredTimes(tmp_path / "kept")
    store.keep(spec_in(source), unit_of(), FOUND).write_bytes(b'{"task": 1')
    assert store.look(spec_in(source), unit_of()) is None
    assert store.all() == []


def test_clearing_forgets_everything_and_counts_it(tmp_path: Path, source: Path) -> None:
    store = MeasuredTimes(tmp_path / "kept")
    assert store.clear() == 0
    store.keep(spec_in(source), unit_of(), FOUND)
    store.keep(spec_in(source, "other"), unit_of(), FOUND)
    assert len(store.all()) == 2
    assert store.clear() == 2
    assert store.all() == []


def test_looking_makes_no_folder(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert MeasuredTimes().look(spec_in(source), unit_of()) is None
    assert not (tmp_path / "cache").exists()


def test_engines_choose_by_what_was_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fleet = Fleet(interpreters=True)
    lanes: list[Any] = [ThreadLane(fleet), InterpreterLane(fleet), ProcessLane(fleet)]
    assembly = Assembly({one.name: one for one in lanes})
    assert assembly.choice(spec_in(source), unit_of()).lane == "interpreter"
    MeasuredTimes().keep(spec_in(source), unit_of(), FOUND)
    choice = assembly.choice(spec_in(source), unit_of())
    assert choice.lane == "thread"
    assert "2.00 times as long as inline" in choice.reason
