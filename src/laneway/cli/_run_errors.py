"""Why a command cannot do with a run what it was asked, with the command that can."""

from laneway._core.errors import LanewayError, PlanError

__all__ = ["RunDriven", "RunOver", "RunTargetUnknown"]


class RunDriven(LanewayError):
    """Another program drives this run."""

    code = "LW-RUN-002"
    template = (
        "run {run} is driven by another program right now. `laneway runs watch {run}` follows it, "
        "`laneway runs pause {run}` and `laneway runs cancel {run}` stop it there."
    )


class RunOver(LanewayError):
    """The run has ended, and what was asked is only for runs that go on."""

    code = "LW-RUN-003"
    template = (
        "run {run} has {status} already. `laneway runs retry {run}` runs again what did not succeed (--all: "
        "everything), `laneway runs fork {run} --from TASK` starts a new run with its results."
    )


class RunTargetUnknown(PlanError):
    """The code of a run is not found where it was when the run started."""

    code = "LW-RUN-004"
    template = (
        "run {run} belongs to workflow {workflow!r} from {reference}, which is not found from here: {reason} "
        "Name its code: `laneway runs {verb} {run} TARGET`."
    )
