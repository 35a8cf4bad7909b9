"""Log lines carry the attempt they belong to, from every lane; what is printed is kept per attempt."""

import io
import json
import logging
import sys
import threading
from typing import Any

import pytest
import structlog
import watched

import laneway
from laneway import Engine, Workflow, aio
from laneway.observe import logs
from laneway.ports import LiveRun, Observer, Outcome, StepOrder


async def everywhere(**options: Any) -> Any:
    async with Engine("memory://", workers=2, **options) as engine:
        return await engine.run(watched.EVERYWHERE, {"numbers": [7, 8]})


async def test_every_line_of_a_task_says_which_attempt_wrote_it(lines: Any) -> None:
    result = await everywhere()
    of_tasks = [line for line in lines() if line["logger"] == "shop.orders"]
    assert len(of_tasks) == 6
    for line in of_tasks:
        assert line["run"] == line["correlation_id"] == result.id
        assert line["workflow"] == "everywhere"
        assert line["attempt"] == 1
        assert line["timestamp"].endswith("Z")
    assert {(line["task"], line["key"], line["lane"]) for line in of_tasks} == {
        ("on_loop", None, "loop"),
        ("on_thread", None, "thread"),
        ("on_interpreter", None, "interpreter"),
        ("on_process", 0, "process"),
        ("on_process", 1, "process"),
        ("coroutine_on_interpreter", None, "interpreter"),
    }
    of_process = {line["key"]: line["event"] for line in of_tasks if line["task"] == "on_process"}
    assert of_process == {0: "hello from process 7", 1: "hello from process 8"}


async def test_prints_and_warnings_become_lines_and_are_kept_with_the_attempt(lines: Any) -> None:
    result = await everywhere()
    printed = [(line["task"], line["event"]) for line in lines() if line["logger"] == "laneway.output"]
    for task, lane in (("on_loop", "loop"), ("on_thread", "thread"), ("on_interpreter", "interpreter")):
        assert (task, f"printed on {lane}") in printed
    assert any(task == "on_interpreter" and "UserWarning: careful" in text for task, text in printed)
    output = {(step.task, step.key): step.output for step in result.steps}
    assert output["on_loop", None] == "printed on loop\n"
    assert output["on_thread", None] == "printed on thread\n"
    assert output["on_process", 1] == "printed on process\n"


async def test_an_observer_may_leave_out_attempts_that_say_nothing() -> None:
    class Seen(Observer):
        def __init__(self) -> None:
            self.tasks: list[str] = []

        def attempt_ended(self, run: LiveRun, order: StepOrder, outcome: Outcome) -> Outcome:
            self.tasks.append(order.task.id)
            return outcome

    class Notable(Seen):
        ordinary_attempts = False

    def silent() -> None: ...

    def prints() -> None:
        print("hello")

    def fails() -> None:
        raise ValueError

    every, notable = Seen(), Notable()
    engine = Engine("memory://")
    engine.observe(every)
    engine.observe(notable)
    async with engine:
        await engine.run(
            Workflow("three", [laneway.task(one) for one in (silent, prints, fails)]), check=False
        )
    assert sorted(every.tasks) == ["fails", "prints", "silent"]
    assert sorted(notable.tasks) == ["fails", "prints"]


async def test_prints_still_reach_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    await everywhere()
    assert "printed on loop\n" in capsys.readouterr().out
    assert sys.stdout is before


async def test_without_capture_streams_are_left_alone() -> None:
    before = sys.stdout
    async with Engine("memory://", capture=False):
        assert sys.stdout is before


async def test_values_of_configured_keys_are_blotted_out_in_fields_texts_and_tracebacks(lines: Any) -> None:
    async with Engine("memory://", workers=1) as engine:
        await engine.run(watched.EVERYWHERE, {"numbers": []})
        await engine.run(Workflow("traceback", [watched.logs_a_traceback]), {})
    written = lines()
    with_extra = next(line for line in written if line["event"] == "hello from interpreter")
    assert with_extra["password"] == "***"
    assert with_extra["amount"] == 3
    with_error = next(line for line in written if line["event"] == "it went wrong")
    assert "ValueError: token=***" in with_error["exception"]
    assert "abc" not in str(with_error["exception"].splitlines()[-1])
    assert with_error["task"] == "logs_a_traceback"


async def test_logging_that_is_imported_by_the_task_itself_is_noticed(lines: Any) -> None:
    async with Engine("memory://", workers=1) as engine:
        result = await engine.run(Workflow("late", [watched.imports_logging_late]), {})
    line = next(line for line in lines() if line["logger"] == "late")
    assert (line["event"], line["level"], line["run"]) == ("late but there", "error", result.id)


async def test_an_attempt_that_logs_without_end_is_cut_off_and_says_so(lines: Any) -> None:
    async with Engine("memory://", workers=1) as engine:
        result = await engine.run(
            Workflow("much", [watched.logs_without_end, watched.imports_logging_late]), {}
        )
    assert result.status == "succeeded"
    written = [line for line in lines() if line.get("task") == "logs_without_end"]
    assert 100 < len(written) < 1000
    assert "the rest is left out" in written[-1]["event"]


async def test_a_print_cannot_forge_a_record(lines: Any) -> None:
    async with Engine("memory://", workers=1) as engine:
        result = await engine.run(Workflow("forger", [watched.prints_what_looks_like_a_record]), {})
    assert not [line for line in lines() if line["logger"] == "forged"]
    assert "forged" in result.steps[0].output


async def test_the_correlation_id_of_the_caller_is_everywhere(lines: Any) -> None:
    async with Engine("memory://", workers=1) as engine:

        async def order() -> Any:
            return await engine.run(watched.EVERYWHERE, {"numbers": [1]})

        result = await aio.create_task(
            order(), metadata={"operation_name": "order", "correlation_id": "order-42"}
        )
    for task in ("on_loop", "on_thread", "on_interpreter", "coroutine_on_interpreter"):
        assert result.context[task] == {
            "operation_name": task,
            "correlation_id": "order-42",
            "priority_hint": 0,
        }
    assert result.context["on_process"][0]["correlation_id"] == "order-42"
    assert {line["correlation_id"] for line in lines()} == {"order-42"}


async def test_a_programs_own_handler_can_name_the_attempt() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(task)s %(lane)s %(message)s"))
    handler.addFilter(logs.AttemptFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        await everywhere()
        logging.getLogger("elsewhere").warning("no attempt")
    finally:
        root.removeHandler(handler)
    assert "on_thread thread hello from thread\n" in stream.getvalue()
    assert "on_interpreter interpreter hello from interpreter\n" in stream.getvalue()
    assert "None None no attempt\n" in stream.getvalue()


def test_structlog_loggers_write_the_same_lines(lines: Any) -> None:
    structlog.get_logger("mine").warning("bought", item="book", password="hunter2")
    line = lines()[-1]
    assert (line["event"], line["item"], line["password"], line["level"]) == (
        "bought",
        "book",
        "***",
        "warning",
    )


def test_for_people_a_line_is_no_json() -> None:
    stream = io.StringIO()
    setup = logs.configure("warning", lines="console", redact=["token"], stream=stream)
    try:
        logging.getLogger("mine").warning("sent token=abc", extra={"n": 1})
        logging.getLogger("mine").info("not seen")
    finally:
        setup.remove()
    assert "sent token=***" in stream.getvalue()
    assert "n=1" in stream.getvalue()
    assert "not seen" not in stream.getvalue()


def test_configuring_twice_writes_every_line_once() -> None:
    stream = io.StringIO()
    logs.configure("warning", lines="json", stream=io.StringIO())
    setup = logs.configure("warning", lines="json", stream=stream)
    try:
        logging.getLogger("mine").warning("once")
    finally:
        setup.remove()
    assert len(stream.getvalue().splitlines()) == 1


def test_warnings_are_written_at_once_and_lesser_lines_before_them_or_a_moment_later() -> None:
    written = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            count = super().write(text)
            written.set()
            return count

    stream = Stream()
    setup = logs.configure("info", lines="json", stream=stream)
    mine = logging.getLogger("mine")
    try:
        mine.info("first")
        mine.warning("second")
        assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["first", "second"]
        written.clear()
        mine.info("third")
        assert written.wait(10)
    finally:
        setup.remove()
    assert len(stream.getvalue().splitlines()) == 3


def test_what_waits_is_written_at_the_end() -> None:
    stream = io.StringIO()
    setup = logs.configure("info", lines="json", stream=stream)
    logging.getLogger("mine").info("last words")
    setup.remove()
    assert "last words" in stream.getvalue()
