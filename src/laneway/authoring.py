"""What task authors use: `@task`, `Workflow`, `cancelled`. Standard library only: workers import this."""

import sys
from contextvars import ContextVar
from importlib import import_module

from laneway import _attempt
from laneway._core.model import RULES, Retry, TaskSpec, WorkflowSpec
from laneway._core.untyped import Any, Callable, Iterable, Mapping, overload

__all__ = [
    "AttemptStopped",
    "Workflow",
    "cancellation_probe",
    "cancelled",
    "condition_of",
    "mark",
    "spec_of",
    "task",
    "task_options",
    "trace_context",
]

_ATTRIBUTE = "__laneway_task__"
_CONDITION = "__laneway_when__"
_COROUTINE_FLAGS = 0x80 | 0x100
"""inspect.CO_COROUTINE and CO_ITERABLE_COROUTINE, without importing inspect."""
_VARIADIC = 0x04 | 0x08
_GENERATOR = 0x20 | 0x200

type TaskReference = str | Callable[..., Any]


class AttemptStopped(BaseException):
    """Raised inside a task that is being stopped. Clean up and let it pass; catching it only delays the end."""


@overload
def task[**P, R](function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def task[**P, R](
    *,
    id: str | None = None,
    dependencies: Iterable[TaskReference] = (),
    lane: str = "auto",
    retries: int = 0,
    retry: Retry | None = None,
    timeout: float | None = None,
    pool: str | None = None,
    priority: int = 0,
    each: TaskReference | None = None,
    when: str | Callable[..., bool] = "all_success",
    batch: int = 1,
    cpu: bool = False,
    fallback: bool = False,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Make a function a task. It stays an ordinary function that can be called.

    Args:
        function: a function or coroutine function; given when used as plain `@task`.
        options: what differs from the defaults.
            id (str): the task's name in its workflow; the function's name by default.
            dependencies: ids or task functions that must end before this one starts.
            lane: `auto`, `loop`, `thread`, `interpreter`, `process`, `celery` or a plug-in's.
            retries: further attempts after the first, with the default waits between them.
            retry: a `Retry`, to say how often, after which failures and with which waits.
            timeout: seconds one attempt may take.
            pool: the pool to hold while running.
            priority: higher goes first.
            each: a task or context key whose list gives one step per item; the item goes to the parameter of the
                same name, else to `item`, else to the first parameter.
            when: `all_success`, `all_done`, `any_success`, `any_failed`, `none_failed`, or a predicate whose
                parameters are bound like a task's.
            batch: items handed to one worker at a time.
            cpu: True for CPU-bound work; decides the lane when it is `auto`.
            fallback: take another lane when the wanted one cannot run the task.

    Raises:
        TypeError: an option is unknown or of the wrong type, or the object cannot be a task.
        ValueError: an option has a value it cannot have.
    """
    if function is not None and options:
        raise TypeError("use @task(...) with options or @task without parentheses, not both")
    if function is not None:
        return _decorate(function, {})
    unknown = [name for name in options if name not in _CHECKS]
    if unknown:
        near = _nearest(unknown[0], _CHECKS)
        advice = f"did you mean {near!r}?" if near else f"the options are {', '.join(sorted(_CHECKS))}"
        raise TypeError(f"@task has no option {unknown[0]!r}: {advice}")
    if "retries" in options and "retry" in options:
        raise TypeError("use @task(retries=...) or @task(retry=Retry(...)), not both")
    checked = {name: _CHECKS[name](name, value) for name, value in options.items()}
    checked.update(checked.pop("retry", {}))

    def decorate(decorated: Any) -> Any:
        return _decorate(decorated, checked)

    return decorate


def _decorate(function: Any, options: dict[str, Any]) -> Any:
    plain = function
    while hasattr(plain, "__wrapped__"):
        plain = plain.__wrapped__
    code = getattr(plain, "__code__", None)
    if isinstance(function, staticmethod):
        raise TypeError(f"put @staticmethod above @task, not below it ({function.__func__.__qualname__})")
    if code is None or hasattr(function, "__self__"):
        raise TypeError(f"@task needs a function, not {type(function).__name__}")
    positional = code.co_argcount + code.co_kwonlyargcount
    name = plain.__qualname__
    if code.co_flags & _VARIADIC:
        raise TypeError(f"task {name} takes *args or **kwargs: name every parameter, so that it can be bound")
    if code.co_flags & _GENERATOR:
        raise TypeError(f"task {name} is a generator: return a list instead of yielding")
    if code.co_posonlyargcount:
        raise TypeError(f"task {name} has positional-only parameters: tasks are bound by name")
    parameters = tuple(code.co_varnames[:positional])
    defaults = plain.__defaults__ or ()
    optional = parameters[code.co_argcount - len(defaults) : code.co_argcount] + tuple(
        plain.__kwdefaults__ or ()
    )
    condition = options.get("when")
    is_predicate = callable(condition)
    spec = TaskSpec(
        id=options.get("id") or plain.__name__,
        reference=f"{plain.__module__}:{plain.__qualname__}",
        function=function,
        is_async=bool(code.co_flags & _COROUTINE_FLAGS)
        or bool(getattr(function, "__code__", code).co_flags & 0x80),
        style="context" if parameters == ("context",) else "value",
        parameters=parameters,
        optional=optional
        + tuple(one for one in (_optional(condition) if is_predicate else ()) if one not in parameters),
        has_condition=is_predicate,
        asks=_parameters(condition) if is_predicate else (),
        doc=(plain.__doc__ or "").strip(),
        file=code.co_filename,
        line=code.co_firstlineno,
    )
    plain_options = {key: value for key, value in options.items() if key not in ("id", "when")}
    if not is_predicate:
        plain_options["when"] = condition or "all_success"
    else:
        setattr(function, _CONDITION, condition)
    spec = spec._replace(**plain_options)
    if spec.each is not None and spec.item is None:
        raise TypeError(f"task {spec.id} is mapped over {spec.each!r} but takes no parameter for the item")
    setattr(function, _ATTRIBUTE, spec)
    return function


def _parameters(predicate: Any) -> tuple[str, ...]:
    code = getattr(predicate, "__code__", None)
    if code is None:
        raise TypeError("@task(when=...) takes a rule or a plain function as predicate")
    return tuple(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _optional(predicate: Any) -> tuple[str, ...]:
    """Parameters of a predicate that have defaults."""
    names = _parameters(predicate)
    count = predicate.__code__.co_argcount
    defaults = predicate.__defaults__ or ()
    return names[count - len(defaults) : count] + tuple(predicate.__kwdefaults__ or ())


def task_options(**options: Any) -> dict[str, Any]:
    """Options of a task, checked as `@task` checks them.

    Raises:
        TypeError, ValueError: as `@task`.
    """
    return {name: _CHECKS[name](name, value) for name, value in options.items()}


def mark[T](function: T, spec: TaskSpec) -> T:
    """Make an object a task by its spec."""
    setattr(function, _ATTRIBUTE, spec)
    return function


def spec_of(function: object) -> TaskSpec | None:
    """The spec of a decorated function, else None."""
    spec = getattr(function, _ATTRIBUTE, None)
    return spec if isinstance(spec, TaskSpec) else None


def trace_context() -> dict[str, str]:
    """In a task of a run that is traced: its W3C trace context, for `opentelemetry.propagate.extract`; else empty."""
    attempt = _attempt.found()
    if attempt is None:
        return {}
    metadata = attempt.metadata
    return {key: metadata[key] for key in ("traceparent", "tracestate", "baggage") if key in metadata}


def condition_of(function: object) -> Callable[..., bool] | None:
    """The predicate given by `when=`, else None."""
    return getattr(function, _CONDITION, None)


class Workflow:
    """A named graph of tasks.

    Args:
        name: what runs of it are listed under; a non-empty string.
        tasks: decorated functions, in the order that breaks ties between tasks without an order of their own.
        merge: for a context key that unordered tasks may both set, how to combine the values:
            `last`, `first`, `concat`, `union`, `sum`, `min` or `max` (in topological order).

    The graph is checked, all mistakes at once, by `check()` and before every run.
    """

    def __init__(
        self, name: str, tasks: Iterable[Callable[..., Any]], *, merge: Mapping[str, str] | None = None
    ) -> None:
        given: object = name
        if not isinstance(given, str) or not given.strip():
            raise TypeError("a workflow needs a name: Workflow('nightly-report', [first, second])")
        listed: object = tasks
        if not hasattr(listed, "__iter__"):
            raise TypeError(
                f"a workflow takes a list of tasks, not {type(tasks).__name__}: Workflow({name!r}, [first, second])"
            )
        functions = list(tasks)
        specs: list[TaskSpec] = []
        for function in functions:
            spec = spec_of(function)
            if spec is None:
                label = getattr(function, "__qualname__", repr(function))
                raise TypeError(f"{label} in workflow {name!r} is not a task: decorate it with @task")
            specs.append(spec)
        self.spec = WorkflowSpec(name=name, tasks=tuple(specs), merge=tuple(sorted((merge or {}).items())))
        self.module: str = sys._getframe(1).f_globals.get("__name__", "__main__")

    @property
    def name(self) -> str:
        """The workflow's name."""
        return self.spec.name

    def check(self) -> None:
        """Check the graph without a context.

        Raises:
            WorkflowInvalid: with every mistake that can be known before a context is given.
        """
        from laneway._core.plan import plan_of  # noqa: PLC0415 - planning is the engine's; workers never need it

        plan_of(self.spec)

    def __repr__(self) -> str:
        return f"Workflow({self.name!r}, {len(self.spec.tasks)} tasks)"


cancellation_probe: ContextVar[Callable[[], bool] | None] = ContextVar(
    "laneway_cancellation_probe", default=None
)
"""Where a lane puts the function that tells whether the current attempt was asked to stop."""


def cancelled() -> bool:
    """True once the running attempt has been asked to stop. For cooperative code in long loops; never raises."""
    probe = cancellation_probe.get()
    return probe is not None and probe()


def _named(name: str, value: Any) -> Any:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError(f"@task({name}=...) must not be empty")
        return value
    raise TypeError(f"@task({name}=...) takes a string, not {type(value).__name__}")


def _references(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"@task({name}=...) takes a list: {name}=[{value!r}]")
    if not hasattr(value, "__iter__"):
        raise TypeError(f"@task({name}=...) takes a list, not {type(value).__name__}")
    return tuple(_reference(name, one) for one in value)


def _reference(name: str, value: Any) -> str:
    spec = spec_of(value)
    return spec.id if spec is not None else _named(name, value)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"@task({name}=...) takes a whole number, not {type(value).__name__}")
    return int(value)


def _count(name: str, value: Any) -> int:
    if _whole(name, value) < (1 if name == "batch" else 0):
        raise ValueError(f"@task({name}={value}) is too small")
    return int(value)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    total = getattr(value, "total_seconds", None)
    if total is not None:
        value = total()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"@task({name}=...) takes seconds or a timedelta, not {type(value).__name__}")
    if not 0 < value < float("inf"):
        raise ValueError(f"@task({name}={value}) must be more than 0 seconds")
    return float(value)


def _retry(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Retry):
        raise TypeError(
            f"@task({name}=...) takes a Retry, such as Retry(attempts=5), not {type(value).__name__}"
        )
    if _whole("retry", value.attempts) < 1:
        raise ValueError("Retry(attempts=...) counts the first attempt too: it is at least 1")
    waits: list[float] = []
    given: dict[str, Any] = {
        "backoff": value.backoff, "factor": value.factor, "cap": value.cap, "jitter": value.jitter
    }  # fmt: skip
    for option, number in given.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < float("inf"):
            raise ValueError(f"Retry({option}={number!r}) must be a number from 0 on")
        waits.append(float(number))
    if waits[3] > 1:
        raise ValueError(f"Retry(jitter={value.jitter!r}) is a share from 0 to 1")
    if isinstance(value.on, str | type):
        raise TypeError("Retry(on=...) takes a list: on=[ConnectionError]")
    named = tuple(_failure(one) for one in value.on)
    return {"retries": value.attempts - 1, "backoff": tuple(waits), "retry_on": named}


def _failure(one: Any) -> str:
    """An exception type as failure records name it, or one of their kinds."""
    if isinstance(one, type) and issubclass(one, BaseException):
        is_plain = one.__module__ in ("builtins", "__main__")
        return one.__qualname__ if is_plain else f"{one.__module__}.{one.__qualname__}"
    if isinstance(one, str) and one:
        return one
    raise TypeError(f"Retry(on=[{one!r}]) takes exception types, or kinds such as 'timeout'")


def _nearest(wrong: str, known: Iterable[str]) -> str:
    """What was probably meant, else empty. Imported on the first mistake only: every worker imports this module."""
    near: list[str] = import_module("difflib").get_close_matches(wrong, known, 1)
    return near[0] if near else ""


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"@task({name}=...) takes True or False, not {type(value).__name__}")
    return value


def _rule(name: str, value: Any) -> Any:
    if callable(value):
        return value
    rule = str(_named(name, value))
    if rule not in RULES:
        near = _nearest(rule, RULES)
        advice = f"did you mean {near!r}?" if near else f"use one of {', '.join(RULES)} or a predicate"
        raise ValueError(f"@task(when={value!r}) is not a rule: {advice}")
    return value


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "id": _named,
    "dependencies": _references,
    "lane": _named,
    "retries": _count,
    "retry": _retry,
    "timeout": _seconds,
    "pool": lambda name, value: None if value is None else _named(name, value),
    "priority": _whole,
    "each": lambda name, value: None if value is None else _reference(name, value),
    "when": _rule,
    "batch": _count,
    "cpu": _flag,
    "fallback": _flag,
}
