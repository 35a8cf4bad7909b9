"""Tasks that make, pass on and read artifacts, on whichever lane."""

import mmap
import threading
from collections import UserDict
from pathlib import Path
from typing import Any

from laneway import Artifact, Workflow, artifact, defer, subworkflow, task, wait_for_signal


def _make(size: int, mark: str) -> dict[str, Any]:
    return {
        "big": artifact(mark.encode() * size, media_type="image/png"),
        "all": [artifact(b"a"), artifact(b"b")],
    }


def _read(make: dict[str, Any]) -> dict[str, Any]:
    big = make["big"]
    if not isinstance(big, Artifact):
        raise TypeError(f"{big!r} is no artifact")
    with big.open() as file:
        head = file.read(3).decode()
    by_path = big.path.read_bytes()
    with open(big, "rb") as file:
        by_name = file.read()
    with big.open() as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        mapped = view[:3].decode()
    return {
        "head": head,
        "mapped": mapped,
        "size": big.size,
        "media_type": big.media_type,
        "same": big.read() == by_path == by_name,
        "letters": [one.read().decode() for one in make["all"]],
        "again": big,
        "more": artifact(by_path + b"!"),
    }


def flow_on(lane: str) -> Workflow:
    """Make and read, both on one lane."""
    return FLOWS[lane]


@task(id="make", lane="loop")
async def make_loop(size: int, mark: str) -> dict[str, Any]:
    return _make(size, mark)


@task(id="read", lane="loop")
async def read_loop(make: dict[str, Any]) -> dict[str, Any]:
    return _read(make)


@task(id="make", lane="thread")
def make_thread(size: int, mark: str) -> dict[str, Any]:
    return _make(size, mark)


@task(id="read", lane="thread")
def read_thread(make: dict[str, Any]) -> dict[str, Any]:
    return _read(make)


@task(id="make", lane="interpreter")
def make_interpreter(size: int, mark: str) -> dict[str, Any]:
    return _make(size, mark)


@task(id="read", lane="interpreter")
def read_interpreter(make: dict[str, Any]) -> dict[str, Any]:
    return _read(make)


@task(id="make", lane="process")
def make_process(size: int, mark: str) -> dict[str, Any]:
    return _make(size, mark)


@task(id="read", lane="process")
def read_process(make: dict[str, Any]) -> dict[str, Any]:
    return _read(make)


FLOWS = {
    "loop": Workflow("on-loop", [make_loop, read_loop]),
    "thread": Workflow("on-thread", [make_thread, read_thread]),
    "interpreter": Workflow("on-interpreter", [make_interpreter, read_interpreter]),
    "process": Workflow("on-process", [make_process, read_process]),
}


# ---- every way in and out of a run


@task(lane="thread")
def parts(number: int) -> list[Artifact]:
    return [artifact(b"part %d" % one) for one in range(number)]


@task(lane="interpreter", each="parts")
def shouted(parts: Artifact) -> Artifact:
    return artifact(parts.read().upper(), media_type="text/plain")


@task(lane="process", dependencies=["parts", "shouted"])
def joined(context: Any) -> None:
    context["whole"] = artifact(b", ".join(one.read() for one in context["shouted"]))
    context["nested"] = {"deep": [context["parts"][0], {"more": artifact(b"more")}]}


mapped = Workflow("mapped", [parts, shouted, joined])


@task
async def inside(seed: Artifact) -> Artifact:
    return artifact(b"inner " + seed.read())


inner = Workflow("inner", [inside])


@task
async def seed(text: str) -> Artifact:
    return artifact(text.encode())


@task
async def outside(inner_run: dict[str, Any]) -> str:
    return str(inner_run["inside"].read(), "utf-8")


nested = Workflow(
    "nested",
    [seed, subworkflow(inner, id="inner_run", inputs={"seed": "seed"}, dependencies=[seed]), outside],
)


@task
async def answer() -> Any:
    return wait_for_signal("answer")


@task
async def told(answer: Artifact) -> str:
    return answer.read().decode()


waiting = Workflow("waiting", [answer, told])


@task
async def odd_mapping(context: Any) -> Any:
    return UserDict(odd=artifact(b"in a UserDict"))


mapping = Workflow("mapping", [odd_mapping])


@task(lane="thread")
def from_a_file(file: str) -> Artifact:
    return artifact(Path(file), media_type="text/plain")


filed = Workflow("filed", [from_a_file])


@task(lane="thread")
def failing(text: str, gate: str) -> Artifact:
    made = artifact(text.encode())
    if not Path(gate).exists():
        made.reference  # noqa: B018 - it is handed over, and then the attempt fails after all
        raise RuntimeError("not yet")
    return made


@task(lane="thread")
def measured(failing: Artifact) -> int:
    return len(failing.read())


doomed = Workflow("doomed", [failing, measured])


@task(lane="thread")
def from_a_bare_thread() -> Artifact:
    found: list[Artifact] = []
    thread = threading.Thread(target=lambda: found.append(artifact(b"made in a thread of its own")))
    thread.start()
    thread.join()
    return found[0]


threaded = Workflow("threaded", [from_a_bare_thread])


@task(lane="interpreter")
def bad(how: str, folder: str) -> Any:
    if how == "text":
        return artifact("text")
    if how == "number":
        return artifact(5)
    if how == "lacking":
        return artifact(Path(folder) / "nothing.bin")
    if how == "text file":
        with open(__file__) as file:
            return artifact(file)
    if how == "media":
        return artifact(b"", media_type="png")
    if how == "large":
        return artifact(b"x" * 2_000_000)
    if how == "large file":
        path = Path(folder) / "large.bin"
        path.write_bytes(b"x" * 2_000_000)
        return artifact(path)
    return {"$artifact": "sha256:" + "0" * 64, "size": 1, "media_type": "text/plain"}


wrong = Workflow("wrong", [bad])


@task
async def look_alikes() -> Any:
    digest = "sha256:" + "0" * 64
    return [
        {"$artifact": digest},
        {"$artifact": digest, "size": 1},
        {"$artifact": digest, "size": 1, "media_type": "a/b", "more": 1},
        {"$artifact": digest, "size": "1", "media_type": "a/b"},
        {"$artifact": "md5:1", "size": 1, "media_type": "a/b"},
        {"$artifact": digest.upper(), "size": 1, "media_type": "a/b"},
        f'{{"$artifact":"{digest}","size":1,"media_type":"a/b"}}',
    ]


@task
async def seen(look_alikes: Any) -> list[str]:
    return [type(one).__name__ for one in look_alikes]


alike = Workflow("alike", [look_alikes, seen])


@task(lane="process")
def discards(number: int) -> int:
    for one in range(number):
        artifact(b"discarded %d" % one)
    return number


discarding = Workflow("discarding", [discards])


@task
async def again_later(count: int) -> Any:
    return defer(3600) if count else artifact(b"never")


later = Workflow("later", [again_later])
