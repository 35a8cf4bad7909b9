"""What a task and a workflow are, as plain frozen records. Standard library only: workers import this."""

from laneway._core.record import Record
from laneway._core.untyped import Any, Callable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

__all__ = ["BACKOFF", "LANES", "RULES", "Nested", "Retry", "Style", "TaskSpec", "WorkflowSpec"]

type Style = Literal["value", "context"]

LANES = ("auto", "loop", "thread", "interpreter", "process", "celery")
"""Names of the built-in lanes; plug-ins may add others through the entry-point group `laneway.lanes`."""

RULES = ("all_success", "all_done", "any_success", "any_failed", "none_failed")
"""What `when=` may ask of a task's direct dependencies before the task runs."""


BACKOFF = (0.1, 2.0, 30.0, 0.25)
"""First delay in seconds, factor, longest delay, and the share by which chance shifts it."""


class Retry(Record):
    """How a failed task is tried again: `@task(retry=Retry(attempts=5, on=[ConnectionError]))`."""

    attempts: int = 3
    """How often it is tried at most, the first time included."""
    backoff: float = BACKOFF[0]
    """Seconds before the second attempt."""
    factor: float = BACKOFF[1]
    """How much longer each further wait is."""
    cap: float = BACKOFF[2]
    """Seconds to wait at most."""
    jitter: float = BACKOFF[3]
    """Share in [0, 1] by which chance makes a wait shorter or longer."""
    on: Sequence[type[BaseException] | str] = ()
    """Exception types (subclasses count), or kinds such as `timeout`; any failure if empty. Holds on every lane."""


class TaskSpec(Record):
    """One task: a function plus its options.

    `reference` is `module:qualname`, the way a worker finds the function again. `function` is the function itself
    where it lives in this interpreter, else None (a task that was discovered in a package's worker).
    """

    id: str
    reference: str
    function: Callable[..., Any] | None = None
    is_async: bool = False
    style: Style = "value"
    parameters: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    """Parameters that have a default: they may stay unprovided."""
    dependencies: tuple[str, ...] = ()
    """Ids given by `dependencies=`; parameters that name tasks add to these when a plan is made."""
    lane: str = "auto"
    fallback: bool = False
    cpu: bool = False
    retries: int = 0
    """Further attempts after the first."""
    backoff: tuple[float, ...] = BACKOFF
    retry_on: tuple[str, ...] = ()
    """Names of exception types, or failure kinds, that are tried again; all if empty."""
    timeout: float | None = None
    """Wall time of one attempt in seconds."""
    pool: str | None = None
    priority: int = 0
    each: str | None = None
    """Task id or context key whose list gives one step per item."""
    batch: int = 1
    """How many items at most are handed to one worker at a time."""
    when: str = "all_success"
    has_condition: bool = False
    """True when `when=` is a predicate: it lives at the function and is asked where the task runs."""
    asks: tuple[str, ...] = ()
    """The predicate's parameters, bound like the task's own; `context` alone gives it the whole context."""
    doc: str = ""
    file: str = ""
    line: int = 0
    fingerprint: str = ""
    """SHA-256 over the function's syntax tree, without comments, layout and decorators."""
    nested: "Nested | None" = None  # noqa: UP037 - records read their annotations at once
    """The workflow that this task runs, for a task of the lane `workflow`."""

    @property
    def item(self) -> str | None:
        """The parameter that receives the item of a mapped task.

        The parameter named like the source, else the one named `item`, else the first. In context style the item
        is the context's key `item`.
        """
        if self.each is None:
            return None
        if self.style == "context":
            return "item"
        if self.each in self.parameters:
            return self.each
        if "item" in self.parameters:
            return "item"
        return self.parameters[0] if self.parameters else None

    def described(self) -> dict[str, Any]:
        """This task as plain JSON data, without the function itself."""
        data = self._asdict()
        del data["function"]
        for key in _TUPLES:
            data[key] = list(data[key])
        if self.nested is not None:
            data["nested"] = self.nested.described()
        return data

    @classmethod
    def from_described(cls, data: dict[str, Any]) -> TaskSpec:
        """The inverse of `described`; lists become tuples again."""
        known = dict(data)
        for key in _TUPLES:
            if key in known:
                known[key] = tuple(known[key])
        if known.get("nested") is not None:
            known["nested"] = Nested.from_described(known["nested"])
        return cls(**known)

    def with_tasks(self, change: Callable[[TaskSpec], TaskSpec]) -> TaskSpec:
        """This task, with every task of the workflow that it runs, however deep, put through `change`."""
        if self.nested is None:
            return self
        inner = self.nested.workflow
        tasks = tuple(change(one.with_tasks(change)) for one in inner.tasks)
        return self._replace(nested=self.nested._replace(workflow=inner._replace(tasks=tasks)))


_TUPLES = ("parameters", "optional", "dependencies", "asks", "backoff", "retry_on")


class WorkflowSpec(Record):
    """A named graph of tasks in the order they were declared.

    `merge` maps a context key to the way two unordered tasks' values of it are combined (see `_core.context`).
    """

    name: str
    tasks: tuple[TaskSpec, ...]
    merge: tuple[tuple[str, str], ...] = ()
    doc: str = ""


class Nested(Record):
    """The workflow that a task runs as a run of its own."""

    workflow: WorkflowSpec
    inputs: tuple[tuple[str, str], ...] | None = None
    """The inner run's context key, and the key that the task sees; None for all that the task sees."""
    output: str | None = None
    """The key of the inner run's final context that becomes the task's value; None for all of it."""

    def described(self) -> dict[str, Any]:
        """As plain JSON data."""
        flow = self.workflow
        return {
            "workflow": flow.name,
            "tasks": [one.described() for one in flow.tasks],
            "merge": dict(flow.merge),
            "doc": flow.doc,
            "inputs": None if self.inputs is None else dict(self.inputs),
            "output": self.output,
        }

    @classmethod
    def from_described(cls, data: dict[str, Any]) -> Nested:
        """The inverse of `described`."""
        tasks = tuple(TaskSpec.from_described(one) for one in data["tasks"])
        merge = tuple(sorted(data["merge"].items()))
        inputs = None if data["inputs"] is None else tuple(data["inputs"].items())
        return cls(WorkflowSpec(data["workflow"], tasks, merge, data["doc"]), inputs, data["output"])
