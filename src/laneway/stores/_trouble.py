"""The errors of single records, and which failures a store waits out."""

from laneway._core.errors import StoreError, StoreFenced

__all__ = ["RecordRefused", "RunElsewhere", "StepEnded"]


class RecordRefused(StoreError):
    """The store cannot hold a record, such as one that is too large. Nothing of its transition was written."""

    code = "LW-STORE-008"
    template = (
        "store {store} cannot hold a record of run {run}: {reason}. Make the values smaller or plainer."
    )


class StepEnded(StoreError):
    """A step that ended was to end once more. A committed step never ends twice, so nothing was written."""

    code = "LW-STORE-009"
    template = "step {task!r} of run {run} ended before; it is not recorded a second time."


class RunElsewhere(StoreFenced):
    """The run is not this engine's any more."""

    template = "engine {engine} does not drive the run any more on store {store}. Nothing was written."
