"""Runs inside runs: `subworkflow`, and `context.run` of the context that tasks get. Standard library only."""

from laneway import _attempt
from laneway._core.errors import ContextError
from laneway._core.failures import MissingKey
from laneway._core.model import Nested, TaskSpec
from laneway._core.untyped import Any, Callable, Iterable, Mapping
from laneway.authoring import Workflow, mark, task_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine

    from laneway.engine.results import RunResult

__all__ = ["Context", "InnerRunRefused", "SubWorkflow", "subworkflow"]


class InnerRunRefused(ContextError):
    """A task cannot wait for another run where it is, or while it has what that may need."""

    code = "LW-CTX-004"
    template = (
        "task {task!r} cannot run a workflow from within: {reason}. "
        "Make the workflow a task of its own: subworkflow(flow)"
    )


class Context(dict[str, Any]):
    """The context that a task gets whose one parameter is `context`: a dict whose missing keys say so."""

    __slots__ = ()

    def __missing__(self, key: object) -> Any:
        near = ", ".join(sorted(str(known) for known in self)) or "nothing"
        raise MissingKey(f"the context has no key {key!r}; it has {near}")

    def run(
        self, workflow: Any, context: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> Coroutine[Any, Any, RunResult]:
        """Run a workflow from within a coroutine task, and wait for its end: `result = await context.run(flow, {...})`.

        The inner run is linked to this step and cancelled with it. It is kept by name, not by order: a step that runs
        again, after a crash or in another attempt, finds the inner runs that it began before. Those that succeeded are
        not run again, those that failed go on where they failed. While the inner run is suspended, this step waits.

        Args:
            workflow: a `Workflow`, or text such as `module:workflow`.
            context: what the inner run starts with.
            key: the inner run's name within this step. By default it is made of the workflow's name and the context:
                two calls that have both in common share one run.

        Raises:
            RunFailed: the inner run failed or was cancelled. `error.result` has everything.
            InnerRunRefused: this task is no coroutine on the engine's own loop, or holds a pool or a limit's place.
        """
        here = _attempt.found()
        inner = getattr(here, "inner", None)
        reason = ""
        if here is None:
            reason = "it is called outside of a run"
        elif inner is None or here.lane != "loop":
            reason = "only coroutines on the engine's own event loop can wait for one"
        elif here.holds:
            reason = f"it holds {here.holds} meanwhile, which the inner run may need to go on"
        if inner is None or reason:
            task = "?" if here is None else here.metadata.get("operation_name", "?")
            raise InnerRunRefused(task=task, reason=reason)
        started: Coroutine[Any, Any, RunResult] = inner.run_within(here, workflow, context, key)
        return started


class SubWorkflow:
    """A workflow that runs as a task; made by `subworkflow` and given to `Workflow` like a task."""

    def __init__(self, flow: Workflow) -> None:
        self.flow = flow

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Refuse: it is a task only inside a workflow."""
        raise TypeError(
            f"workflow {self.flow.name!r} runs as a task of a workflow; by itself: laneway.run(...)"
        )


def subworkflow(
    flow: Workflow,
    *,
    id: str | None = None,  # noqa: A002 - named as for @task
    inputs: Mapping[str, str] | None = None,
    output: str | None = None,
    dependencies: Iterable[str | Callable[..., Any]] = (),
    each: str | Callable[..., Any] | None = None,
    when: str = "all_success",
    retries: int = 0,
    timeout: float | None = None,
) -> Callable[..., Any]:
    """Use a workflow as a task of another one. It runs as a run of its own, linked to the one that needs it.

    Args:
        flow: the workflow.
        id: the task's name in the outer workflow; the workflow's name by default.
        inputs: the inner run's initial context: its key to a key that the task sees; by default it is all that the
            task sees. A mapped one sees its item as `item`.
        output: the key of the inner run's final context that becomes the task's value; by default all of it.
        dependencies: as for `@task`; keys named by `inputs` that are tasks come by themselves.
        each: as for `@task`: one inner run per item.
        when: as for `@task`, rules only.
        retries: as for `@task`; a further attempt goes on where the inner run failed.
        timeout: seconds that the inner run may take.
    """
    if not isinstance(flow, Workflow):
        raise TypeError(f"subworkflow() takes a Workflow, not {type(flow).__name__}")
    options = task_options(dependencies=dependencies, each=each, when=when, retries=retries, timeout=timeout)
    made = SubWorkflow(flow)
    spec = TaskSpec(
        id=id or flow.name,
        reference=f"{flow.module}:{flow.name}",
        function=made,
        is_async=True,
        style="context",
        parameters=("context",),
        lane="workflow",
        doc=f"Runs the workflow {flow.name!r}.",
        nested=Nested(flow.spec, None if inputs is None else tuple(dict(inputs).items()), output),
    )._replace(**options)
    return mark(made, spec)
