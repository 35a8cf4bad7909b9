"""Why an engine cannot do with a run what was asked."""

from laneway._core.errors import LanewayError

__all__ = ["EngineClosed", "EngineElsewhere", "EngineReopened", "RunBusy", "RunChanged", "RunUnknownCode"]


class EngineClosed(LanewayError):
    """The engine is not open."""

    code = "LW-ENGINE-003"
    template = "this engine is not open. Use it inside `async with Engine(...) as engine:`."


class EngineReopened(LanewayError):
    """An engine is opened once."""

    code = "LW-ENGINE-004"
    template = (
        "this engine was opened before. Make another one on its store: `async with Engine(...) as engine:`."
    )


class EngineElsewhere(LanewayError):
    """An engine's methods are called on the event loop that it was opened on."""

    code = "LW-ENGINE-005"
    template = (
        "this engine belongs to another event loop. Where that one runs in another thread, use "
        "`asyncio.run_coroutine_threadsafe(engine.run(...), loop).result()`; else open an engine here."
    )


class RunBusy(LanewayError):
    """A living engine drives the run."""

    code = "LW-ENGINE-010"
    template = (
        "run {run} is {status} and driven by an engine that lives. "
        "Cancel or pause it first, or wait for its end."
    )


class RunChanged(LanewayError):
    """The code of tasks that the run still needs is not what it was when the run started. `tasks` names them."""

    code = "LW-ENGINE-011"
    template = (
        "run {run} was started with other code: {listing}. Go on with the new code (force=True, --force), fork the run "
        "from a step, or resume it with the version it was started with."
    )


class RunUnknownCode(LanewayError):
    """Nobody said which workflow the run belongs to, and it is not found where it was."""

    code = "LW-ENGINE-012"
    template = "run {run} belongs to workflow {workflow!r} ({reference}), which is not known here: pass the workflow."
