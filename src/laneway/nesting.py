"""`subworkflow`: a workflow as a task of another one. Standard library only."""

from laneway._core.model import Nested, TaskSpec
from laneway._core.untyped import Any, Callable, Iterable, Mapping
from laneway.authoring import Workflow, mark, task_options

__all__ = ["SubWorkflow", "subworkflow"]


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
