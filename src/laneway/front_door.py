"""`run`: the synchronous front door, for scripts that write no asyncio."""

import asyncio
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from laneway.app import Engine
from laneway.authoring import Workflow
from laneway.engine.results import RunResult
from laneway.engine.target import Target

__all__ = ["run"]


def run(
    workflow: Workflow | Target | str,
    context: Mapping[str, Any] | None = None,
    *,
    store: str = "memory://",
    key: str | None = None,
    check: bool = True,
    priority: int = 0,
    deadline: datetime | timedelta | float | None = None,
    tags: Mapping[str, str] | None = None,
    **options: Any,
) -> RunResult:
    """Run a workflow to its end without writing asyncio.

    Keeps nothing unless a `store` is given. Works inside a running event loop too (on a thread of its own).

    Args:
        workflow: as for `Engine.run`, and so are the next ones.
        context: the initial context; JSON values only.
        store: as for `Engine`.
        key: idempotency key.
        check: raise RunFailed for a run that failed; False returns its result.
        priority: higher goes first.
        deadline: when the run is stopped and fails.
        tags: texts to find the run by.
        options: further ones of `Engine`, such as `workers` or `durability`.

    Raises:
        RunFailed: the run failed and `check` is True; and what `Engine.run` raises.
    """

    async def whole() -> RunResult:
        async with Engine(store, **options) as engine:
            return await engine.run(
                workflow, context, key=key, check=check, priority=priority, deadline=deadline, tags=tags
            )

    if not _in_a_loop():
        return asyncio.run(whole())
    outcome: list[RunResult] = []
    failure: list[BaseException] = []

    def aside() -> None:
        try:
            outcome.append(asyncio.run(whole()))
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=aside, name="laneway-run")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
