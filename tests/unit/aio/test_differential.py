"""Generated programs behave on our factory exactly as on plain asyncio: same effects, order, results, exceptions."""

import asyncio
import contextvars
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from laneway import aio
from laneway.aio import TaskMetadata

type Step = tuple[Any, ...]
type Program = list[Step]
type Spawn = Callable[..., asyncio.Task[Any]]

OWN: contextvars.ContextVar[int] = contextvars.ContextVar("OWN", default=0)
ERRORS: dict[str, Callable[[], BaseException]] = {
    "value": lambda: ValueError("broken"),
    "cancelled": lambda: asyncio.CancelledError("by itself"),
    "stop": lambda: StopAsyncIteration("odd"),
}

leaves = st.one_of(
    st.just(("turn",)),
    st.tuples(st.just("log"), st.integers(0, 9)),
    st.tuples(st.just("set"), st.integers(1, 9)),
    st.tuples(st.just("await"), st.integers(0, 3)),
    st.tuples(st.just("cancel"), st.integers(0, 3)),
    st.tuples(st.just("raise"), st.sampled_from(sorted(ERRORS))),
)
EAGER = st.sampled_from([None, False, True])
programs: st.SearchStrategy[Program] = st.recursive(
    st.lists(leaves, max_size=3),
    lambda inner: st.lists(
        st.one_of(
            leaves,
            st.tuples(st.just("spawn"), inner, EAGER, st.booleans()),
            st.tuples(st.just("group"), st.lists(st.tuples(inner, EAGER), max_size=3), inner),
            st.tuples(st.just("gather"), st.lists(inner, max_size=3), st.booleans()),
            st.tuples(st.just("try"), inner),
            st.tuples(st.just("time-out"), inner),
        ),
        max_size=4,
    ),
    max_leaves=25,
)


def told(error: BaseException) -> Any:
    """An exception as comparable data, with everything that is attached to it."""
    parts = [told(part) for part in error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    chain = [None if other is None else told(other) for other in (error.__cause__, error.__context__)]
    return type(error).__name__, str(error), parts, chain, getattr(error, "__notes__", [])


class Host:
    """Runs a program and writes down, in order, everything that it does."""

    def __init__(self, spawn: Spawn, group: Callable[[], Any]) -> None:
        self.spawn = spawn
        self.group = group
        self.trace: list[Any] = []
        self.tasks: list[tuple[str, asyncio.Task[Any]]] = []

    async def body(self, program: Program, me: str) -> str:
        self.trace.append((me, "starts", OWN.get()))
        mine: list[asyncio.Task[Any]] = []
        for number, step in enumerate(program):
            await self.step(step, f"{me}.{number}", mine)
        self.trace.append((me, "ends", OWN.get()))
        return me

    def keep(self, me: str, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self.tasks.append((me, task))
        task.add_done_callback(lambda done: self.trace.append((me, "is done", done.cancelled())))
        return task

    async def step(self, step: Step, me: str, mine: list[asyncio.Task[Any]]) -> None:
        match step:
            case ("turn",):
                await asyncio.sleep(0)
            case ("log", value):
                self.trace.append((me, "logs", value, OWN.get()))
            case ("set", value):
                OWN.set(value)
            case ("await", index) if index < len(mine):
                self.trace.append((me, "got", await mine[index]))
            case ("cancel", index) if index < len(mine):
                self.trace.append((me, "cancels", mine[index].cancel()))
            case ("raise", kind):
                raise ERRORS[kind]()
            case ("spawn", inner, eager, shares):
                keywords: dict[str, Any] = {} if eager is None else {"eager_start": eager}
                if shares:
                    keywords["context"] = contextvars.copy_context()
                mine.append(self.keep(me, self.spawn(self.body(inner, me), **keywords)))
            case ("group", children, inner):
                async with self.group() as group:
                    for number, (child, eager) in enumerate(children):
                        keywords = {} if eager is None else {"eager_start": eager}
                        name = f"{me}:{number}"
                        self.keep(name, group.create_task(self.body(child, name), **keywords))
                    await self.body(inner, f"{me}:in")
            case ("gather", children, quiet):
                bodies = [self.body(child, f"{me}:{number}") for number, child in enumerate(children)]
                found: list[Any] = await asyncio.gather(*bodies, return_exceptions=quiet)
                self.trace.append((me, [told(f) if isinstance(f, BaseException) else f for f in found]))
            case ("try", inner):
                try:
                    await self.body(inner, me)
                except (Exception, asyncio.CancelledError) as error:
                    self.trace.append((me, "caught", told(error)))
                    if (task := asyncio.current_task()) is not None:
                        self.trace.append((me, "cancelling", task.cancelling()))
            case ("time-out", inner):
                async with asyncio.timeout(None) as limit:
                    limit.reschedule(asyncio.get_running_loop().time())
                    await self.body(inner, me)
            case _:
                pass

    async def main(self, program: Program) -> Any:
        try:
            end: Any = await self.body(program, "main")
        except (Exception, asyncio.CancelledError) as error:
            end = told(error)
        for _, task in self.tasks:
            while not task.done():
                await asyncio.wait([task])
        ends = [(me, self.end_of(task)) for me, task in self.tasks]
        return end, ends

    @staticmethod
    def end_of(task: asyncio.Task[Any]) -> Any:
        if task.cancelled():
            return "cancelled"
        error = task._exception
        return task.result() if error is None else told(error)


class Quiet:
    """An observer, so that the observed path is the one compared."""

    def created(self, task: asyncio.Task[Any], metadata: TaskMetadata | None) -> None: ...

    def finished(self, task: Any, metadata: TaskMetadata | None, outcome: str, seconds: float) -> None: ...


@pytest.fixture(scope="module", autouse=True)
def only_what_is_new() -> Iterator[None]:
    """Keeps the collector from looking at all of the test suite's objects hundreds of times."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def run(program: Program, *, ours: bool, beneath: Any, metadata: Any, observed: bool) -> Any:
    """What the program did, and what asyncio complained about, on one fresh loop."""
    complaints: list[str] = []

    def group() -> Any:
        return WithMetadata(metadata) if ours else asyncio.TaskGroup()

    def spawn(coro: Any, **keywords: Any) -> asyncio.Task[Any]:
        if ours:
            return aio.create_task(coro, metadata=metadata, **keywords)
        return asyncio.create_task(coro, **keywords)

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: complaints.append(context["message"]))
        loop.set_task_factory(beneath)
        host = Host(spawn, group)
        if ours:
            with aio.install_task_factory(loop, [Quiet()] if observed else []):
                result = await host.main(program)
        else:
            result = await host.main(program)
        loop.set_task_factory(None)
        trace = host.trace
        host.tasks.clear()
        return result, trace

    found = asyncio.run(main())
    gc.collect()
    return found, sorted(complaints)


class WithMetadata(aio.TaskGroup):
    """Gives every child the same metadata."""

    def __init__(self, metadata: Any) -> None:
        super().__init__()
        self.metadata = metadata

    def create_task(self, coro: Any, **keywords: Any) -> asyncio.Task[Any]:
        return super().create_task(coro, metadata=self.metadata, **keywords)


@pytest.mark.parametrize("beneath", [None, asyncio.eager_task_factory], ids=["plain", "eager"])
@pytest.mark.parametrize(
    "metadata", [None, TaskMetadata(operation_name="a", priority_hint=9)], ids=["bare", "meta"]
)
@pytest.mark.parametrize("observed", [False, True], ids=["unseen", "observed"])
@settings(max_examples=150, deadline=None)
@given(program=programs)
@example(program=[("spawn", [("raise", "value")], True, False), ("turn",)])
@example(
    program=[("group", [([("turn",), ("raise", "value")], None), ([("try", [("turn",)] * 3)], True)], [])]
)
@example(program=[("spawn", [("turn",)], None, False), ("cancel", 0), ("try", [("await", 0)])])
@example(program=[("time-out", [("turn",), ("gather", [[("turn",)], [("raise", "stop")]], True), ("turn",)])])
def test_programs_behave_as_on_plain_asyncio(
    program: Program, beneath: Any, metadata: Any, observed: bool
) -> None:
    plain = run(program, ours=False, beneath=beneath, metadata=None, observed=False)
    assert run(program, ours=True, beneath=beneath, metadata=metadata, observed=observed) == plain
