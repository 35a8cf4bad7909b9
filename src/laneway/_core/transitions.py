"""What follows from an outcome: pure steps from one state of a run to the next. No clock, no store, no lane."""

from collections.abc import Iterable, Sequence

import msgspec

from laneway._core.context import Patch, decode_list, join_object, merged, resolve
from laneway._core.errors import ContextConflict
from laneway._core.failures import MissingKey
from laneway._core.plan import Binding, Plan, sees_all
from laneway._core.records import NO_ITEM, StepRow

__all__ = [
    "TERMINAL",
    "MapState",
    "RunState",
    "final_context",
    "items_of",
    "payload_of",
    "restored",
    "settle",
    "verdict",
]

TERMINAL = frozenset({"succeeded", "failed", "skipped", "cancelled"})


class MapState:
    """A mapped task under way: its encoded items and what came of them, in order."""

    __slots__ = ("failed", "items", "left", "next", "results", "under_way")

    def __init__(self, items: list[bytes]) -> None:
        self.items = items
        self.results: list[bytes | None] = [None] * len(items)
        self.left = len(items)
        self.failed = 0
        self.next = 0
        self.under_way = 0

    def joined(self) -> bytes:
        """The list of results as JSON, in the order of the items; null where an item failed or was skipped."""
        return b"[" + b",".join([b"null" if one is None else one for one in self.results]) + b"]"


class RunState:
    """Where a run stands. Owned by its driver; rebuilt from the store's rows by `restored`."""

    __slots__ = ("failed", "initial", "left", "maps", "patches", "plan", "rows", "status", "waiting")

    def __init__(self, plan: Plan, initial: dict[str, bytes]) -> None:
        self.plan = plan
        self.initial = initial
        self.left = len(plan.tasks)
        self.status: list[str] = ["pending"] * self.left
        self.waiting = [*map(len, plan.needs)]
        self.patches: list[Patch | None] = [None] * self.left
        self.maps: dict[int, MapState] = {}
        self.rows: dict[tuple[str, int], StepRow] = {}
        self.failed: StepRow | None = None

    def first(self) -> list[int]:
        """Tasks that depend on nothing."""
        return [index for index, count in enumerate(self.waiting) if count == 0]


def payload_of(state: RunState, index: int, item: bytes | None = None) -> bytes:
    """The JSON object that an attempt of this task gets.

    Raises:
        MissingKey: a parameter has no value and no default.
        ContextConflict: unordered ancestors set one key to different values.
    """
    plan = state.plan
    spec = plan.tasks[index]
    values: dict[str, bytes | None] = {}
    if sees_all(spec):
        values.update(
            merged(state.initial, plan.before[index], state.patches, plan.ancestors, plan.names, plan.merges)
        )
    else:
        for binding in plan.bindings[index]:
            found, value = _bound(state, binding)
            if found and value is not None:
                values[binding.key] = value
            elif not binding.optional:
                raise MissingKey(f"task {spec.id!r} needs {binding.key!r}, which no task before it has set")
    if item is not None and spec.item is not None:
        values[spec.item] = item
    return join_object(values)


def items_of(state: RunState, index: int) -> list[bytes]:
    """The encoded items of a mapped task's list.

    Raises:
        MissingKey: the list is not there.
        TypeError: it is not a list.
        ContextConflict: unordered ancestors set it differently.
    """
    binding = state.plan.source[index]
    spec = state.plan.tasks[index]
    if binding is None:
        raise TypeError(f"task {spec.id!r} is not mapped")
    found, value = _bound(state, binding)
    if not found or value is None:
        raise MissingKey(f"task {spec.id!r} is mapped over {binding.key!r}, which no task before it has set")
    try:
        return decode_list(value)
    except msgspec.ValidationError:
        kind = {b"{": "an object", b'"': "a string", b"t": "true", b"f": "false", b"n": "null"}.get(
            value[:1], "a number"
        )
        raise TypeError(
            f"task {spec.id!r} is mapped over {binding.key!r}, which is {kind}, not a list"
        ) from None


def _bound(state: RunState, binding: Binding) -> tuple[bool, bytes | None]:
    plan = state.plan
    found, value = resolve(
        binding.key, binding.setters, state.patches, plan.ancestors, plan.names, plan.merges
    )
    if found:
        return True, value
    initial = state.initial.get(binding.key)
    return initial is not None, initial


def settle(state: RunState, index: int, status: str) -> tuple[list[int], list[int]]:
    """Mark a task as over and find what that makes possible: (tasks to start, tasks to skip).

    Skipped tasks are marked here too; what they make possible is included.
    """
    plan = state.plan
    ready: list[int] = []
    skipped: list[int] = []
    ends, waiting = state.status, state.waiting
    ends[index] = status
    over = [index]
    while over:
        state.left -= 1
        for after in plan.feeds[over.pop()]:
            waiting[after] -= 1
            if waiting[after] == 0 and ends[after] == "pending":
                if runs(plan.tasks[after].when, [ends[one] for one in plan.needs[after]]):
                    ready.append(after)
                else:
                    skipped.append(after)
                    ends[after] = "skipped"
                    over.append(after)
    return ready, skipped


def runs(rule: str, ends: Sequence[str]) -> bool:
    """Whether a task runs after its direct dependencies ended like that.

    A dependency that was skipped by its own condition counts as neither success nor failure.
    """
    if rule == "all_success":
        return ends.count("succeeded") == len(ends)
    if rule == "all_done":
        return True
    if rule == "any_success":
        return any(end == "succeeded" for end in ends)
    if rule == "any_failed":
        return any(end == "failed" for end in ends)
    return not any(end == "failed" for end in ends)


def verdict(state: RunState) -> str:
    """How a run ended whose tasks are all over: `succeeded` only if no task failed."""
    return "failed" if "failed" in state.status else "succeeded"


def final_context(state: RunState) -> dict[str, bytes]:
    """The initial context plus all patches in topological order."""
    plan = state.plan
    order = range(len(plan.tasks))
    return merged(state.initial, order, state.patches, plan.ancestors, plan.names, plan.merges, strict=False)


def restored(plan: Plan, initial: dict[str, bytes], rows: Iterable[StepRow]) -> tuple[RunState, list[int]]:
    """Rebuild the state of a run from its recorded steps: (state, tasks that can start or go on).

    `rows` come in the order in which the steps ended. Steps recorded as running did not commit: they run again. Rows
    of tasks that the plan no longer has are ignored.
    """
    state = RunState(plan, initial)
    for row in rows:
        state.rows[row.task, row.item] = row
        index = plan.position.get(row.task)
        if index is not None and row.status == "failed" and row.error is not None and state.failed is None:
            state.failed = row
        if index is None or row.item != NO_ITEM or row.status not in TERMINAL:
            continue
        if plan.tasks[index].each is None and row.status == "succeeded":
            state.patches[index] = patch_of(row)
    ready = state.first()
    going: list[int] = []
    while ready:
        index = ready.pop()
        done = state.rows.get((plan.names[index], NO_ITEM))
        if done is None or done.status not in TERMINAL or done.status == "cancelled":
            going.append(index)
            continue
        if plan.tasks[index].each is not None:
            # The row of a mapped task as a whole marks its end; the list is made of its items' rows again.
            state.patches[index] = _rejoined(state, index)
        ready.extend(settle(state, index, done.status)[0])
    return state, [index for index in sorted(going) if state.status[index] == "pending"]


def patch_of(row: StepRow) -> dict[str, bytes | None]:
    """The patch that a succeeded step recorded."""
    patch: dict[str, bytes | None] = {}
    if row.patch is not None:
        patch.update({key: bytes(raw) for key, raw in _raw_object.decode(row.patch).items()})
    if row.removed is not None:
        patch.update(dict.fromkeys(msgspec.json.decode(row.removed, type=list[str])))
    return patch


def _rejoined(state: RunState, index: int) -> Patch | None:
    try:
        mapped = MapState(items_of(state, index))
    except MissingKey, TypeError, ContextConflict:
        return None  # it failed because there was no list
    name = state.plan.names[index]
    for number in range(len(mapped.items)):
        row = state.rows.get((name, number))
        mapped.results[number] = None if row is None or row.status != "succeeded" else row.patch
    return {name: mapped.joined()}


_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
