"""Packages written to disk, fleets, and orders for their tasks."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from laneway._core.model import TaskSpec
from laneway.lanes import Fleet, InterpreterLane, LoopLane, ProcessLane, ThreadLane
from laneway.ports import Lane, Outcome, StepOrder, Unit

type MakePackage = Callable[..., Unit]


@pytest.fixture
def package(tmp_path: Path) -> MakePackage:
    """Writes a package and gives its unit: `package("name", source, vendor={"module": source}, limits=...)`."""

    def make(
        name: str, source: str, *, vendor: dict[str, str] | None = None, folder: str = "", **more: Any
    ) -> Unit:
        home = tmp_path / (folder or name)
        (home / "src").mkdir(parents=True)
        (home / "src" / f"{name}.py").write_text(dedent(source))
        (home / "vendor").mkdir()
        for module, text in (vendor or {}).items():
            (home / "vendor" / f"{module}.py").write_text(dedent(text))
        fields = {key: tuple(value.items()) for key, value in more.items()}
        return Unit(
            key=f"package:{home}",
            kind="package",
            entry=name,
            paths=(str(home / "src"), str(home / "vendor")),
            name=folder or name,
            **fields,
        )

    return make


class Bench:
    """A fleet with all lanes, and short ways to run tasks on them."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("workers", 2)
        self.fleet = Fleet(**options)
        self.lanes: dict[str, Lane] = {
            lane.name: lane
            for lane in (
                LoopLane(self.fleet),
                ThreadLane(self.fleet),
                InterpreterLane(self.fleet),
                ProcessLane(self.fleet),
            )
        }

    async def open(self) -> None:
        for lane in self.lanes.values():
            await lane.open()

    async def close(self) -> None:
        for lane in self.lanes.values():
            await lane.close(grace=1)

    def order(self, unit: Unit, name: str, /, *, timeout: float | None = None, **arguments: Any) -> StepOrder:
        spec = TaskSpec(
            id=name, reference=f"{unit.entry}:{name}", parameters=tuple(arguments), timeout=timeout
        )
        return StepOrder(unit=unit, task=spec, payload=json.dumps(arguments).encode(), run="test")

    async def run(
        self, lane: str, unit: Unit, name: str, /, *, timeout: float | None = None, **arguments: Any
    ) -> Outcome:
        return await self.lanes[lane].run(self.order(unit, name, timeout=timeout, **arguments))

    async def value(self, lane: str, unit: Unit, name: str, /, **arguments: Any) -> Any:
        outcome = await self.run(lane, unit, name, **arguments)
        assert outcome.kind == "value", outcome
        return json.loads(outcome.body)

    async def failure(
        self, lane: str, unit: Unit, name: str, /, *, timeout: float | None = None, **arguments: Any
    ) -> dict[str, Any]:
        outcome = await self.run(lane, unit, name, timeout=timeout, **arguments)
        assert outcome.kind == "failure", outcome
        found: dict[str, Any] = json.loads(outcome.body)
        return found


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.open()
    yield bench
    await bench.close()


@pytest.fixture(params=["interpreter", "process"])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)
