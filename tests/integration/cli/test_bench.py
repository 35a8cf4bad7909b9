"""`laneway bench` as a user has it: output, exit status, what is kept and who uses it, stopping."""

import json
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lane_results import lane, times
from package_folders import make_folder
from tests.integration.cli.conftest import Laneway, environment

from laneway._core.lane_times import objection
from laneway._core.model import TaskSpec
from laneway.bench.workloads import WORKLOADS
from laneway.compat.measured import MeasuredTimes, build_label
from laneway.ports import Unit

BENCH = """
import os, time
from laneway import Workflow, task

@task
def words(text: str) -> list[str]:
    print("noise")
    return text.split()

@task(cpu=True)
def longest(words: list[str]) -> str:
    print("noise")
    return max(words, key=len)

@task
def limited(limit: int) -> int:
    return limit

@task
def where() -> str:
    return str(os.getpid())

@task
def endless(name: str) -> None:
    first = not os.path.exists(name)
    open(name, "a").close()
    while not first:
        time.sleep(0.01)

flow = Workflow("words", [words, longest, limited])
unlike = Workflow("unlike", [where])
stuck = Workflow("stuck", [words, endless])
"""

KEPT = "cache/laneway/compat/lanes"
QUICK = ("--rounds", "2", "--calls", "4")


@pytest.fixture
def bench(folder: Path, laneway: Laneway) -> Laneway:
    """`laneway bench`, with a cache of its own."""
    (folder / "bench.py").write_text(BENCH, encoding="utf-8")

    def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return laneway("bench", *arguments, XDG_CACHE_HOME=str(folder / "cache"), **more)

    return run


def test_a_benchmark_shows_a_chart_a_table_and_a_verdict(bench: Laneway) -> None:
    done = bench("lanes", "bench.py:flow", "-c", "text=a bb", "-c", "limit=1", "--task", "longest", *QUICK)
    assert done.returncode == 0, done.stderr
    for part in ("longest  task of", "inline  ", "thread  ", "interpreter", "process", "speed-up", "change",
                 "hand-over", "verdict  ", "auto  ", "machine  ", "2 rounds", "fewer than 6 rounds"):  # fmt: skip
        assert part in done.stdout
    assert "noise" not in done.stdout + done.stderr
    assert "measured longest: 2 rounds" in done.stderr
    assert "Not kept" in done.stderr


def test_json_is_the_only_thing_on_standard_output(bench: Laneway) -> None:
    done = bench("lanes", "bench.py:flow", "--context", '{"text": "a bb"}', "--json", *QUICK)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["format"], found["kind"], found["failed"], found["stopped"]) == (1, "lanes", False, False)
    assert [one["task"] for one in found["tasks"]] == ["words", "longest"]
    lanes = {one["lane"]: one for one in found["tasks"][1]["lanes"]}
    assert set(lanes) == {"thread", "interpreter", "process"}
    assert lanes["process"]["speedup"] > 0
    assert lanes["process"]["change_percent"] == pytest.approx(
        (lanes["process"]["ratio"]["median"] - 1) * 100, abs=0.1
    )
    assert found["tasks"][1]["machine"]["cores"] >= 1
    assert found["not_measured"] == [
        {
            "task": "limited",
            "reason": "it needs 'limit', which nothing gives",
            "advice": "Give it: -c limit=VALUE, or --context @FILE.json.",
        }
    ]


def test_other_outputs_on_a_lane_make_the_exit_status_one(bench: Laneway) -> None:
    done = bench("lanes", "bench.py:unlike", *QUICK)
    assert done.returncode == 1
    assert "verdict  failed: the thread lane gave another result than inline" in done.stdout
    assert bench("lanes", "bench.py:unlike", "--any-output", *QUICK).returncode == 0


def test_nothing_to_measure_makes_the_exit_status_one_and_says_what_to_give(bench: Laneway) -> None:
    done = bench("lanes", "bench.py:flow", *QUICK)
    assert done.returncode == 1
    assert "words: it needs 'text', which nothing gives. Give it: -c text=VALUE" in done.stdout


def test_a_kept_result_is_the_reason_of_the_lane(bench: Laneway, laneway: Laneway, folder: Path) -> None:
    done = bench("lanes", "bench.py:flow", "-c", "text=a bb", "--task", "longest", "--save", *QUICK)
    assert done.returncode == 0, done.stderr
    assert 'Kept: lane="auto"' in done.stderr
    (kept,) = MeasuredTimes(folder / KEPT).all()
    assert (kept.task, kept.calls, kept.rounds) == ("longest", 4, 2)
    listed = laneway("tasks", "bench.py:flow", "--json", XDG_CACHE_HOME=str(folder / "cache"))
    (chosen,) = [one for one in json.loads(listed.stdout)["tasks"] if one["id"] == "longest"]
    against = objection(kept, "interpreter")  # few and short rounds on a busy machine may come out either way
    if against is None:
        assert chosen["lane"] == "interpreter"
        assert "times as fast as inline there" in chosen["reason"]
    else:
        assert chosen["lane"] in ("thread", "process")
        assert against in chosen["reason"]


def keep(folder: Path) -> None:
    """A kept result for the task `longest` in `bench.py`."""
    source = folder / "bench.py"
    found = msgspec.structs.replace(
        times(lane("interpreter", 0.5)),
        task="longest",
        place=str(source),
        content=f"longest {sha256(source.read_bytes()).hexdigest()}",
        python=build_label(),
    )
    spec = TaskSpec("longest", "bench:longest", file=str(source))
    MeasuredTimes(folder / KEPT).keep(spec, Unit("script:bench.py", "script", "bench.py"), found)


def test_kept_results_are_listed_and_forgotten(bench: Laneway, folder: Path) -> None:
    keep(folder)
    assert [one["task"] for one in json.loads(bench("saved", "--json").stdout)] == ["longest"]
    assert "2.00 x" in bench("saved").stdout
    assert "forgot 1 result" in bench("saved", "--clear").stdout
    assert "nothing is kept" in bench("saved").stdout


def test_the_adoption_report_has_what_was_kept(bench: Laneway, laneway: Laneway, folder: Path) -> None:
    keep(folder)
    (folder / "requirements.txt").write_text("", encoding="utf-8")
    command = ("compat", "requirements.txt", "--offline", "--report")
    report = laneway(*command, XDG_CACHE_HOME=str(folder / "cache"))
    assert report.returncode == 0, report.stderr
    assert "| longest | m | 100 ms | 2.00 x (-50 %) |" in report.stdout
    assert "- [x] Measure it on every lane" in report.stdout


def test_a_package_is_measured_under_its_policy_inline_too(bench: Laneway, folder: Path) -> None:
    make_folder(
        folder / "shop",
        files={
            "src/shop_tasks.py": (
                "import os\nfrom laneway import Workflow, task\n"
                "@task\ndef price(number: int) -> int:\n    return number * 2\n"
                "@task\ndef secret(number: int) -> bool:\n    return 'SECRET_OF_MINE' in os.environ\n"
                "flow = Workflow('shop', [price, secret])\n"
            )
        },
    )
    done = bench("lanes", "shop", "-c", "number=4", "--json", *QUICK, SECRET_OF_MINE="x")
    assert done.returncode == 0, done.stdout + done.stderr
    price, secret = json.loads(done.stdout)["tasks"]
    assert {one["status"] for one in price["lanes"]} == {"measured"}
    assert price["content"].startswith("package:shop@1.0:")
    assert not secret["is_failure"]  # hidden from inline as from the lanes


@pytest.mark.parametrize(
    "command", [["-m", "laneway", "bench", "lanes"], ["-m", "laneway.bench", "interpreters"]]
)
def test_without_a_target_primes_are_measured_under_both_names(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, *command, "--rounds", "1", "--calls", "2", "--lane", "interpreter", "--json"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["target"], found["tasks"][0]["task"]) == ("primes", "primes")
    assert found["tasks"][0]["lanes"][0]["lane"] == "interpreter"


def test_the_workloads_are_listed(bench: Laneway) -> None:
    done = bench("lanes", "--workload", "list")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(WORKLOADS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workload", "prime"], "did you mean 'primes'?"),
        (["bench.py:flow", "--workload", "primes"], "not both"),
        (["bench.py:flow", "--task", "longes"], "did you mean 'longest'?"),
        (["bench.py:flo"], "Did you mean 'flow'?"),
        (["bench.py:flow", "--rounds", "0"], "--rounds"),
        (["bench.py:flow", "--context", "{"], "--context"),
    ],
)
def test_mistakes_are_named_and_leave_with_two(bench: Laneway, arguments: list[str], message: str) -> None:
    done = bench("lanes", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def hosts_of(pid: int) -> list[str]:
    """Command lines of host processes whose engine is that process."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if any(one.endswith(b"_host.py") for one in words) and str(pid).encode() in words:
                found.append(b" ".join(words).decode())
    return found


def test_ctrl_c_ends_it_shows_what_was_done_and_leaves_no_process(bench: Laneway, folder: Path) -> None:
    command = [sys.executable, "-m", "laneway", "bench", "lanes", "bench.py:stuck", "--json", *QUICK]
    process = subprocess.Popen(
        [*command, "-c", "text=a", "-c", "name=calls", "--lane", "process"],
        cwd=folder,
        env=environment(XDG_CACHE_HOME=str(folder / "cache")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("measuring endless"):  # every call from here on lasts until it is stopped
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=40)
    assert process.returncode == 3
    found = json.loads(out)
    assert found["stopped"] is True
    assert [one["task"] for one in found["tasks"]] == ["words"]
    waiting = threading.Event()
    for _ in range(200):
        if not hosts_of(process.pid):
            break
        waiting.wait(0.05)
    assert hosts_of(process.pid) == []
