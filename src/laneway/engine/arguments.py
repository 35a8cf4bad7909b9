"""What programs pass to an engine, looked at before anything is done with it: mistakes get a name and a way out."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from laneway._core.context import decode_object
from laneway._core.errors import RunNotFound, SettingInvalid, WorkflowInvalid
from laneway._core.plan import unprovided
from laneway.authoring import Workflow, spec_of
from laneway.engine.handle import RunHandle
from laneway.engine.pools import Pool
from laneway.engine.refusals import EngineElsewhere, EngineReopened
from laneway.engine.results import RunResult
from laneway.engine.target import Target

__all__ = [
    "RunReference",
    "at_home",
    "check_engine",
    "check_start",
    "check_workflow",
    "every_mistake",
    "opened_once",
    "run_id",
]

type RunReference = str | UUID | RunHandle | RunResult | Mapping[str, Any]
"""How programs name a run: its id, a handle, a result, or what `Engine.find` told of it."""


def run_id(run: RunReference, store: object) -> str:
    """The id as the store writes it.

    Raises:
        RunNotFound: it is no id.
    """
    named: object = run.get("id") if isinstance(run, Mapping) else getattr(run, "id", run)
    try:
        return str(named if isinstance(named, UUID) else UUID(str(named)))
    except ValueError:
        raise RunNotFound(run=str(named), store=getattr(store, "url", "")) from None


def check_workflow(workflow: Workflow | Target) -> Workflow | Target:
    """The workflow.

    Raises:
        TypeError: it is something else; the message says what to write.
    """
    if isinstance(workflow, Workflow | Target):
        return workflow
    given: object = workflow
    spec = spec_of(given)
    if spec is not None:
        advice = f"{spec.id!r} is a task. Make a workflow of it: Workflow('name', [{spec.id}])"
    elif isinstance(given, list | tuple):
        advice = "a list of tasks needs a name: Workflow('name', [first, second])"
    else:
        advice = f"it is {type(given).__name__}. Pass a Workflow, or a text such as 'module:workflow'"
    raise TypeError(f"this is no workflow: {advice}")


def every_mistake(
    error: WorkflowInvalid, workflow: Workflow | Target, context: bytes | None
) -> WorkflowInvalid:
    """The mistakes of a workflow together with what this context does not provide."""
    spec = workflow.spec if isinstance(workflow, Workflow) else workflow.workflow
    more = [] if context is None else unprovided(spec, decode_object(context))
    return WorkflowInvalid(workflow=spec.name, problems=[*error.problems, *more]) if more else error


def check_start(
    *,
    key: str | None,
    priority: int,
    tags: Mapping[str, str] | None,
    deadline: datetime | timedelta | float | None,
) -> None:
    """Look at what goes with a new run.

    Raises:
        SettingInvalid: one of them cannot be.
    """
    if key is not None and (not isinstance(key, str) or not key):
        raise SettingInvalid(
            setting="key", value=key, reason="a key is a text that is not empty", advice="Use str(key)."
        )
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise SettingInvalid(
            setting="priority", value=priority, reason="it is a whole number", advice="Higher goes first."
        )
    known: object = tags
    if known and not (
        isinstance(known, Mapping) and all(isinstance(one, str) for pair in known.items() for one in pair)
    ):
        raise SettingInvalid(
            setting="tags",
            value=tags,
            reason="tags are texts by name",
            advice="Write tags={'team': 'billing'}.",
        )
    moment: object = deadline
    if moment is not None and (
        isinstance(moment, bool) or not isinstance(moment, datetime | timedelta | int | float)
    ):
        raise SettingInvalid(
            setting="deadline",
            value=deadline,
            reason="it is neither a moment nor a time from now on",
            advice="Use seconds, a timedelta, or an aware datetime.",
        )


_LEAST: dict[str, int | float] = {"workers": 1, "max_runs": 1, "grace": 0.0, "lease": 0.1}
"""What numbers of an engine must be at least; whole where that is whole."""


def check_engine(workflows: Iterable[object], pools: Iterable[object], **numbers: object) -> None:
    """Look at what an engine is made of.

    Raises:
        SettingInvalid: one of them cannot be.
    """
    for name, value in numbers.items():
        least = _LEAST[name]
        kinds = int if isinstance(least, int) else int | float
        if value is None or (isinstance(value, kinds) and not isinstance(value, bool) and value >= least):
            continue
        what = "a whole number" if kinds is int else "a number of seconds"
        raise SettingInvalid(
            setting=name, value=value, reason=f"it is {what}", advice=f"Use {least:g} or more."
        )
    for kind, given in ((Workflow, workflows), (Pool, pools)):
        for one in given:
            if not isinstance(one, kind):
                name = kind.__name__.lower() + "s"
                raise SettingInvalid(
                    setting=name,
                    value=one,
                    reason=f"it is no {kind.__name__}",
                    advice=f"Give a list: {name}=[...].",
                )


def opened_once(opened: asyncio.AbstractEventLoop | None) -> asyncio.AbstractEventLoop:
    """The loop an engine is opened on, the first time.

    Raises:
        EngineReopened: it was opened before.
    """
    if opened is not None:
        raise EngineReopened()
    return asyncio.get_running_loop()


def at_home(home: asyncio.AbstractEventLoop | None) -> None:
    """Nothing, unless another event loop than the engine's runs here.

    Raises:
        EngineElsewhere: one does.
    """
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        return
    if here is not home:
        raise EngineElsewhere()
