"""Ways around a package's policy: what each lane refuses, and what the documentation says about it."""

import json
import os
import sqlite3
import zipfile
from pathlib import Path

import pytest
from tests.unit.lanes.conftest import Bench, MakePackage
from tests.unit.lanes.policy_attempts import SOURCE

from laneway.lanes._stopping import Ladder
from laneway.ports import Outcome, Unit

DOCUMENT = Path(__file__).parents[3] / "docs" / "explanation" / "isolation.md"
BEGIN, END = "<!-- attempts: begin -->\n", "<!-- attempts: end -->\n"

# What gets through, and why that is so, is written down in the document.
GETS_THROUGH = {
    "interpreter": {
        "read_with_sqlite_attach",
        "stat_a_file",
        "make_a_named_pipe",
        "replace_the_guards_method",
        "walk_the_stack",
    },
    "process": {"stat_a_file", "change_the_directory"},
}
ENDS_THE_WORKER = {"end_the_process"}


@pytest.fixture
def attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unit:
    monkeypatch.setenv("LANEWAY_TEST_SECRET", "secret")
    outside = tmp_path / "outside"
    source = tmp_path / "package" / "src"
    outside.mkdir()
    source.mkdir(parents=True)
    (outside / "secret.txt").write_text("secret")
    (outside / "victim.txt").write_text("victim")
    (outside / "secret_module.py").write_text("VALUE = 'secret'")
    with zipfile.ZipFile(outside / "secret.zip", "w") as archive:
        archive.writestr("secret.txt", "secret")
    link = sqlite3.connect(outside / "secret.db")
    link.executescript("create table secret (value); insert into secret values ('secret')")
    link.close()
    (tmp_path / "package" / "link.txt").symlink_to(outside / "secret.txt")
    text = SOURCE.replace("@OUTSIDE@", str(outside)).replace("@ENGINE@", str(os.getpid()))
    (source / "attempts.py").write_text(text)
    return Unit(
        key="package:attempts", kind="package", entry="attempts", paths=(str(source),), name="attempts"
    )


def judged(outcome: Outcome) -> str:
    if outcome.kind == "value":
        return "works"
    failure = json.loads(outcome.body)
    if failure["kind"] == "policy_violation" or outcome.refusals:
        return "refused"
    if failure["kind"] == "lost_lane":
        return "ends its worker"
    if failure["type"] in ("PermissionError", "sqlite3.OperationalError"):
        return "refused by the kernel"
    if failure["type"] == "RuntimeError":
        return "refused by Python"
    if failure["type"] == "KeyError":
        return "not there"
    raise AssertionError(failure)


@pytest.mark.timeout(180)
async def test_every_attempt_goes_as_the_documentation_says(attempts: Unit) -> None:
    bench = Bench(workers=1)
    await bench.open()
    rows: dict[str, dict[str, str]] = {}
    for name in await bench.value("interpreter", attempts, "names"):
        rows[name] = {}
        for place in ("interpreter", "process"):
            rows[name][place] = judged(await bench.run(place, attempts, "attempt", way=name))
            if "guard" in name or "stack" in name or "hook" in name or "directory" in name:
                await bench.lanes[place].retire(attempts.key)
    await bench.close()
    assert len(rows) >= 40
    for place, expected in GETS_THROUGH.items():
        assert {name for name, row in rows.items() if row[place] == "works"} == expected
    assert {name for name, row in rows.items() if "ends" in row["interpreter"]} == ENDS_THE_WORKER
    table = (
        "| what the package tries | interpreter (also loop and thread) | process |\n|---|---|---|\n"
        + "".join(
            f"| {name.replace('_', ' ')} | {row['interpreter']} | {row['process']} |\n"
            for name, row in rows.items()
        )
    )
    text = DOCUMENT.read_text()
    head, rest = text.split(BEGIN)
    old, tail = rest.split(END)
    if os.environ.get("LANEWAY_UPDATE_DOCS"):
        DOCUMENT.write_text(head + BEGIN + table + END + tail)
    else:
        assert old == table, "run this test with LANEWAY_UPDATE_DOCS=1 to write the table anew"


ALLOWED = """
    import os, socket, subprocess, threading
    from laneway import task

    @task
    def read(path): return open(path).read()

    @task
    def write(path):
        with open(path, "w") as file: file.write("x")
        return "written"

    @task
    def variable(name): return os.environ.get(name)

    @task
    def program(name): return subprocess.run([name], capture_output=True, text=True).stdout

    @task
    def thread():
        thread = threading.Thread(target=print)
        thread.start()
        thread.join()
        return "ran"

    @task
    def connect(port):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            return link.recv(10).decode()

    @task
    def tries_and_goes_on(path):
        try: return open(path).read()
        except OSError: return "without it"
"""


async def test_what_the_policy_allows_works_and_nothing_beside_it(
    bench: Bench, package: MakePackage, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANEWAY_TEST_SHOWN", "shown")
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "data.txt").write_text("data")
    other = Bench(workers=1)
    await other.open()
    policy = {
        "filesystem.read": (str(tmp_path / "in"),),
        "filesystem.write": (str(tmp_path / "out"),),
        "environment": ("LANEWAY_TEST_SHOWN",),
        "subprocess": ("pwd",),
        "threads": True,
    }
    unit = package("allowed", ALLOWED, policy=policy)
    assert await other.value(place, unit, "read", path=str(tmp_path / "in" / "data.txt")) == "data"
    assert await other.value(place, unit, "write", path=str(tmp_path / "out" / "data.txt")) == "written"
    assert await other.value(place, unit, "read", path=str(tmp_path / "out" / "data.txt")) == "x"
    assert await other.value(place, unit, "variable", name="LANEWAY_TEST_SHOWN") == "shown"
    assert await other.value(place, unit, "program", name="pwd")
    assert await other.value(place, unit, "thread") == "ran"
    for name, value in (("write", "in/data.txt"), ("read", "elsewhere.txt"), ("write", "elsewhere.txt")):
        failure = await other.failure(place, unit, name, path=str(tmp_path / value))
        assert failure["kind"] == "policy_violation"
    await other.close()


async def test_network_allows_the_hosts_and_ports_that_are_named(
    bench: Bench, package: MakePackage, place: str
) -> None:
    import asyncio

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    unit = package("allowed", ALLOWED, policy={"network": (f"127.0.0.1:{port}",)})
    assert await bench.value(place, unit, "connect", port=port) == "hello"
    failure = await bench.failure(place, unit, "connect", port=port + 1)
    assert failure["kind"] == "policy_violation"
    server.close()
    await server.wait_closed()


async def test_refusal_that_the_code_gets_over_is_still_reported(
    bench: Bench, package: MakePackage, place: str
) -> None:
    outcome = await bench.run(place, package("allowed", ALLOWED), "tries_and_goes_on", path="/etc/passwd")
    assert (outcome.kind, outcome.body) == ("value", b'"without it"')
    assert outcome.refusals == ("filesystem.read: reading /etc/passwd",)
    after = await bench.run(place, package("allowed", ALLOWED, folder="again"), "variable", name="HOME")
    assert after.refusals == ()


async def test_refusal_while_importing_is_the_discovery_error(bench: Bench, package: MakePackage) -> None:
    found = await bench.fleet.discover(package("reads", "open('/etc/passwd')"))
    assert found["error"]["kind"] == "policy_violation"


async def test_interrupt_still_works_under_a_policy(package: MakePackage, place: str) -> None:
    bench = Bench(ladder=Ladder(interrupt=50.0))
    await bench.open()
    unit = package("loops", "from laneway import task\n\n@task\ndef loop():\n    while True: pass\n")
    outcome = await bench.run(place, unit, "loop", timeout=0.3)
    assert outcome.stopped_by == "interrupt"
    await bench.close()
