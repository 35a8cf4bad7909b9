"""Probing extension modules that behave well and badly: each gets the right status and the right reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from laneway._core.compat import judge_free_threaded, judge_interpreter
from laneway.compat._children import Limits, run_child
from laneway.compat.distributions import Installed, dependency_keys
from laneway.compat.probe import Where, probe, probe_free_threaded, read_extensions

SINGLE = "single-phase initialisation"
UNDECLARED = "no multi-interpreter support declared"

CASES = {
    "single": ("red", "refused", f"single_phase: {SINGLE}"),
    "undeclared": ("red", "refused", f"no_slot: {UNDECLARED}"),
    "notsupported": ("red", "refused", "it declares that it does not support several interpreters"),
    "sharedgil": ("red", "refused", "only with a shared GIL"),
    "good": ("green", "loads", ""),
    "pure": ("green", "loads", ""),
    "needing": ("red", "refused", "needs no_slot of undeclared"),
    "lazy": (
        "red",
        "refused",
        f"lazy._late is imported on first use (lazy/core.py:1) and refused: {UNDECLARED}",
    ),
    "optional": ("yellow", "fallback", "its code goes on without"),
    "swallowing": ("yellow", "fallback", f"swallowing._fast is refused ({SINGLE})"),
    "hanging": ("red", "broken", "hang: not over after 2 s, in the main interpreter too"),
    "crashing": ("red", "broken", "crash by signal 11 (SIGSEGV)"),
    "exiting": ("red", "broken", "exit: it ended the process with status 3"),
    "forking": ("red", "refused", "it forks while it is imported"),
    "display": ("unknown", "env-error", "ImportError: cannot open display"),
    "once": (
        "red",
        "refused",
        "in the second interpreter: ImportError: cannot load module more than once per process",
    ),
    "systemless": ("unknown", "env-error", "a system library is missing: ImportError: libgone.so"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_module_gets_its_status_and_reason(
    name: str, found: dict[str, Installed], where: Where
) -> None:
    verdict = judge_interpreter(probe(found[name], where))
    status, answer, reason = CASES[name]
    assert (verdict.status, verdict.answer) == (status, answer), verdict
    assert reason in verdict.reason


def test_slots_are_read_without_running_multi_phase_modules(
    site: Path, found: dict[str, Installed], where: Where
) -> None:
    names = ("good", "undeclared", "sharedgil", "notsupported", "single", "crashing", "hanging", "systemless")
    files = [(str(site / one.path), one.module) for name in names for one in found[name].extensions]
    read = {one.module: one for one in read_extensions(files, where)}
    assert {name: (one.initialisation, one.interpreters, one.gil) for name, one in read.items()} == {
        "good_module": ("multi-phase", "per-interpreter-gil", "not-used"),
        "no_slot": ("multi-phase", "undeclared", "undeclared"),
        "shared_gil": ("multi-phase", "shared-gil", "undeclared"),
        "not_supported": ("multi-phase", "not-supported", "undeclared"),
        "single_phase": ("single-phase", "undeclared", "undeclared"),
        "crashing": ("multi-phase", "per-interpreter-gil", "not-used"),
        "hanging": ("multi-phase", "per-interpreter-gil", "not-used"),
        "systemless": ("unreadable", "undeclared", "undeclared"),
    }


@pytest.mark.skipif(sys.version_info < (3, 15), reason="PyModExport came with 3.15")
def test_modules_that_export_their_slots_are_read(
    site: Path, found: dict[str, Installed], where: Where
) -> None:
    files = [(str(site / one.path), one.module) for one in found["exporting"].extensions]
    (read,) = read_extensions(files, where)
    assert (read.initialisation, read.interpreters, read.gil) == (
        "multi-phase",
        "per-interpreter-gil",
        "not-used",
    )
    assert judge_interpreter(probe(found["exporting"], where)).status == "green"


def test_a_module_that_hangs_in_its_init_is_blamed_and_the_others_are_read(
    site: Path, found: dict[str, Installed], where: Where
) -> None:
    files = [
        (str(site / one.path), one.module)
        for name in ("undeclared", "hanginginit", "good")
        for one in found[name].extensions
    ]
    read = {one.module: one.initialisation for one in read_extensions(files, where)}
    assert read == {
        "no_slot": "multi-phase",
        "hanging_init": "hang: not over after 2 s",
        "good_module": "multi-phase",
    }


def test_a_part_that_declares_support_and_crashes_is_found_though_the_top_module_does_not_import_it(
    found: dict[str, Installed], where: Where
) -> None:
    result = probe(found["crashinglate"], where)
    assert result.top is not None
    assert result.top.works
    verdict = judge_interpreter(result)
    assert verdict.status == "red"
    assert "crashinglate._part declares support and yet fails by itself: crash by signal 11" in verdict.reason


def test_state_shared_between_interpreters_is_found_by_the_deep_probe(
    found: dict[str, Installed], where: Where
) -> None:
    deep = where._replace(limits=Limits(seconds=20.0))
    result = probe(found["sharing"], deep, deep=True)
    problems = {one.name: one.problem for one in result.layers if one.problem}
    verdict = judge_interpreter(result)
    assert verdict.status in ("yellow", "red")
    assert problems, result.layers
    assert "sharing.registry" in problems.get("object ids", "") or any(
        "crash" in one for one in problems.values()
    )


def test_a_good_module_passes_every_deep_layer(found: dict[str, Installed], where: Where) -> None:
    deep = where._replace(limits=Limits(seconds=20.0))
    result = probe(found["good"], deep, deep=True)
    assert [one.problem for one in result.layers] == [""] * 5
    assert judge_interpreter(result).status == "green"


def test_time_and_memory_are_reported(found: dict[str, Installed], where: Where) -> None:
    result = probe(found["good"], where)
    assert 0 < result.seconds < 30
    assert 5_000 < result.memory_kib < 200_000


def test_nothing_of_a_probe_is_left_running(found: dict[str, Installed], where: Where) -> None:
    probe(found["forking"], where)
    listed = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=True).stdout
    mine = [line for line in listed.splitlines() if "_enter_child.py" in line and f"{os.getpid()} " in line]
    assert mine == []


def test_children_see_no_display_and_none_of_the_users_variables(
    where: Where, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    (tmp_path / "looking.py").write_text(
        "import os\nraise ImportError(','.join(sorted(set(os.environ) & {'DISPLAY', 'SECRET_TOKEN'})) or 'nothing')\n"
    )
    order = {
        "modules": ["looking"], "path": [str(tmp_path), *where.path], "place": "main", "rounds": 1, "smoke": "",
        "threads": 0, "loops": 0, "keep": True, "tolerant": False, "deep": False, "compare": [],
    }  # fmt: skip
    told = run_child(sys.executable, "_try_imports.py", repr(order), where.limits)
    assert [line["text"] for line in told.lines if "done" in line] == ["nothing"]


def test_memory_is_limited(where: Where, tmp_path: Path) -> None:
    (tmp_path / "greedy.py").write_text("x = bytearray(2_000_000_000)\n")
    order = {
        "modules": ["greedy"], "path": [str(tmp_path), *where.path], "place": "isolated", "rounds": 1, "smoke": "",
        "threads": 0, "loops": 0, "keep": True, "tolerant": False, "deep": False, "compare": [],
    }  # fmt: skip
    told = run_child(sys.executable, "_try_imports.py", repr(order), Limits(10.0, 256 * 2**20))
    assert [line["kind"] for line in told.lines if "done" in line] == ["MemoryError"]


def test_a_free_threaded_trial_says_what_turns_the_gil_on(found: dict[str, Installed], where: Where) -> None:
    # On a build with a GIL it is on all the time: the answer must say so rather than pass.
    trial = probe_free_threaded(found["good"], where, elsewhere=True)
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert judge_free_threaded(trial).answer == ("gil-reenabled" if has_gil else "ok")


def test_results_depend_on_what_a_distribution_needs(found: dict[str, Installed]) -> None:
    before = dependency_keys(found["needing"], found)
    other = {**found, "undeclared": found["good"]}
    assert dependency_keys(found["needing"], other) != before
    assert dependency_keys(found["pure"], other) == dependency_keys(found["pure"], found)
