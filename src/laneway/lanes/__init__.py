"""Where attempts run: loop, thread, interpreter, process, celery. Names are lazy, because every worker imports this."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from laneway.lanes._fleet import Fleet
    from laneway.lanes.celery import CeleryLane
    from laneway.lanes.interpreter import InterpreterLane
    from laneway.lanes.loop import LoopLane
    from laneway.lanes.process import ProcessLane
    from laneway.lanes.thread import ThreadLane

__all__ = ["CeleryLane", "Fleet", "InterpreterLane", "LoopLane", "ProcessLane", "ThreadLane"]

_HOME = {
    "CeleryLane": "laneway.lanes.celery",
    "Fleet": "laneway.lanes._fleet",
    "InterpreterLane": "laneway.lanes.interpreter",
    "LoopLane": "laneway.lanes.loop",
    "ProcessLane": "laneway.lanes.process",
    "ThreadLane": "laneway.lanes.thread",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'laneway.lanes' has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - the point of a lazy name is to import late

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
