"""Laneway: an embedded, durable workflow engine. The public names, loaded lazily because every worker imports this.

Layout, top to bottom (imports point down only):
    cli, web        faces: they call `app` and show records
    app             composition root, with `settings` and `registry`
    engine          submit, dispatch, timers, queries: the only user of both a store and a lane
    lanes, stores, packages, compat, observe, bench, testing, integrations
    ports           Store, Lane, Clock, Sink
    _core           decisions without I/O
    authoring, aio  what task authors and plain asyncio programs use
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from laneway._core.errors import (
        Backpressure,
        ContextConflict,
        KeyReused,
        LaneError,
        LanewayError,
        PackageError,
        PlanError,
        RunFailed,
        StoreError,
        WorkflowInvalid,
    )
    from laneway._core.model import Retry, TaskSpec, WorkflowSpec
    from laneway.app import Engine
    from laneway.artifacts import Artifact, artifact
    from laneway.authoring import AttemptStopped, Workflow, cancelled, task, trace_context
    from laneway.engine.handle import RunHandle
    from laneway.engine.pools import Pool
    from laneway.engine.results import RunResult
    from laneway.engine.scheduler import Scheduler
    from laneway.engine.shared_pools import SharedPool
    from laneway.front_door import run
    from laneway.nesting import Context, subworkflow
    from laneway.suspension import defer, sleep_until, wait_for_signal

__version__ = "0.1.0"

__all__ = [
    "Artifact",
    "AttemptStopped",
    "Backpressure",
    "Context",
    "ContextConflict",
    "Engine",
    "KeyReused",
    "LaneError",
    "LanewayError",
    "PackageError",
    "PlanError",
    "Pool",
    "Retry",
    "RunFailed",
    "RunHandle",
    "RunResult",
    "Scheduler",
    "SharedPool",
    "StoreError",
    "TaskSpec",
    "Workflow",
    "WorkflowInvalid",
    "WorkflowSpec",
    "artifact",
    "cancelled",
    "defer",
    "run",
    "sleep_until",
    "subworkflow",
    "task",
    "trace_context",
    "wait_for_signal",
]

_HOMES = {
    "laneway._core.errors": (
        "Backpressure",
        "ContextConflict",
        "KeyReused",
        "LaneError",
        "LanewayError",
        "PackageError",
        "PlanError",
        "RunFailed",
        "StoreError",
        "WorkflowInvalid",
    ),
    "laneway._core.model": ("Retry", "TaskSpec", "WorkflowSpec"),
    "laneway.app": ("Engine",),
    "laneway.artifacts": ("Artifact", "artifact"),
    "laneway.front_door": ("run",),
    "laneway.authoring": ("AttemptStopped", "Workflow", "cancelled", "task", "trace_context"),
    "laneway.engine.handle": ("RunHandle",),
    "laneway.engine.pools": ("Pool",),
    "laneway.engine.results": ("RunResult",),
    "laneway.engine.scheduler": ("Scheduler",),
    "laneway.engine.shared_pools": ("SharedPool",),
    "laneway.nesting": ("Context", "subworkflow"),
    "laneway.suspension": ("defer", "sleep_until", "wait_for_signal"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


_ELSEWHERE = (
    "laneway.app",
    "laneway.front_door",
    "laneway.engine.handle",
    "laneway.engine.pools",
    "laneway.engine.results",
    "laneway.engine.scheduler",
    "laneway.engine.shared_pools",
)
_in_worker = False


def enter_worker() -> None:
    """Called once by a worker before it loads anybody's code: no engine can be had here, nor what engines import."""
    global _in_worker
    _in_worker = True


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'laneway' has no attribute {name!r}")
    if _in_worker and home in _ELSEWHERE:
        from laneway import _elsewhere  # noqa: PLC0415 - as below

        return _elsewhere.run if name == "run" else _elsewhere.Elsewhere
    import importlib  # noqa: PLC0415 - the point of a lazy name is to import late

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
