"""Workflows made by Hypothesis, and a small engine without clock, store or lanes that takes one outcome at a time."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from laneway._core.changes import Change
from laneway._core.context import decode_object
from laneway._core.errors import ContextConflict
from laneway._core.failures import MissingKey, failure_record
from laneway._core.model import TaskSpec, WorkflowSpec
from laneway._core.plan import Plan, plan_of
from laneway._core.records import NO_ITEM, StepRow, Transition
from laneway._core.rows import STATUS_OF, attempted, ended, failed_before
from laneway._core.transitions import RunState, payload_of, restored
from laneway.ports import Outcome

__all__ = ["CONTEXT", "Deed", "Life", "made_workflows"]

RUN = b"r" * 16
KEYS = ("x", "y", "z")
CONTEXT = b'{"x":0,"list":[1,2,3],"many":[4,5]}'


class Deed(NamedTuple):
    """What a made task does with what it sees: fail, sum up, set a key or remove one."""

    kind: str
    key: str = "x"
    amount: int = 0


class Made(NamedTuple):
    """A workflow and what its tasks do."""

    spec: WorkflowSpec
    deeds: dict[str, Deed]


@st.composite
def made_workflows(draw: st.DrawFn, *, conflicts: bool = True) -> Made:
    """Up to eight tasks of both styles, mapped ones and all rules among them."""
    size = draw(st.integers(1, 8))
    specs: list[TaskSpec] = []
    deeds: dict[str, Deed] = {}
    for number in range(size):
        name = f"t{number}"
        before = (
            draw(st.lists(st.sampled_from([f"t{one}" for one in range(number)]), max_size=3, unique=True))
            if number
            else []
        )
        shape = draw(st.sampled_from(["value", "context", "mapped", "value"]))
        when = draw(
            st.sampled_from(
                ["all_success", "all_success", "all_done", "any_success", "any_failed", "none_failed"]
            )
        )
        fails = draw(st.integers(0, 9)) == 0
        if shape == "context":
            key = draw(st.sampled_from(KEYS)) if conflicts else f"own{number}"
            kind = "fail" if fails else draw(st.sampled_from(["set", "set", "remove"]))
            deeds[name] = Deed(kind, key, draw(st.integers(0, 2)))
            spec = TaskSpec(name, f"m:{name}", style="context", parameters=("context",))
        elif shape == "mapped":
            deeds[name] = Deed("fail_some" if fails else "value", amount=number)
            source = draw(st.sampled_from(["list", "many", *before]))
            spec = TaskSpec(name, f"m:{name}", parameters=("item",), each=source)
        else:
            deeds[name] = Deed("fail" if fails else "value", amount=number)
            wanted = tuple(one for one in before if draw(st.booleans()))
            spec = TaskSpec(name, f"m:{name}", parameters=wanted, optional=wanted)
        specs.append(spec._replace(dependencies=tuple(before), when=when))
    return Made(WorkflowSpec("made", tuple(specs)), deeds)


class Life:
    """One run of a made workflow. `take` lets one of the running steps end; the order is the caller's."""

    def __init__(self, made: Made, rows: list[StepRow] | None = None) -> None:
        self.made = made
        self.plan: Plan = plan_of(made.spec)
        self.transitions: list[Transition] = []
        self.ran: list[tuple[str, int]] = []
        self.running: list[tuple[int, int, bytes | None]] = []
        initial = decode_object(CONTEXT)
        if rows is None:
            self.state = RunState(self.plan, initial)
            ready = self.state.first()
        else:
            self.state, ready = restored(self.plan, initial, rows)
        self._go_on(ready)
        if not self.transitions and self.state.left == 0:
            self._write(Change(RUN, self.state, 1.0))

    @property
    def final(self) -> tuple[str, Any, Any] | None:
        """Status, context and error, once it is over."""
        end = self.transitions[-1].end if self.transitions else None
        if end is None:
            return None
        return (
            end.status,
            json.loads(end.context or b"null"),
            None if end.error is None else json.loads(end.error),
        )

    def take(self, number: int) -> None:
        index, item, value = self.running.pop(number % len(self.running))
        name = self.plan.names[index]
        self.ran.append((name, item))
        outcome = self._outcome(index, item, value)
        parts = ended(outcome.kind, outcome.body, name, mapped=item != NO_ITEM)
        row = attempted(RUN, name, item, STATUS_OF[outcome.kind], 1, outcome, parts, None, None)
        change = Change(RUN, self.state, 1.0)
        change.step(index, row, parts)
        self._write(change)

    def to_the_end(self, choose: Callable[[int], int]) -> Life:
        while self.running:
            self.take(choose(len(self.running)))
        return self

    def _outcome(self, index: int, item: int, value: bytes | None) -> Outcome:
        try:
            payload = json.loads(payload_of(self.state, index, value))
        except (MissingKey, ContextConflict) as error:
            return Outcome("failure", failed_before(error))
        deed = self.made.deeds[self.plan.names[index]]
        if deed.kind == "fail" or (deed.kind == "fail_some" and item == 1):
            return Outcome("failure", json.dumps(failure_record("other", "Boom", f"{item}")).encode())
        if deed.kind == "set":
            seen = sum(len(json.dumps(one)) for one in payload.values())
            return Outcome("patch", json.dumps({"set": {deed.key: seen + deed.amount}}).encode())
        if deed.kind == "remove":
            return Outcome("patch", json.dumps({"set": {}, "removed": [deed.key]}).encode())
        return Outcome("value", json.dumps([payload, deed.amount]).encode())

    def _go_on(self, ready: list[int]) -> None:
        change = Change(RUN, self.state, 1.0)
        opening = list(ready)
        while opening:
            index = opening.pop(0)
            if self.plan.tasks[index].each is None:
                self.running.append((index, NO_ITEM, None))
                continue
            mapped = change.open_map(index)
            if mapped is None:
                opening += change.ready
                change.ready = []
                continue
            for number, item in enumerate(mapped.items):
                row = self.state.rows.get((self.plan.names[index], number))
                if row is None or row.status not in ("succeeded", "failed", "skipped"):
                    self.running.append((index, number, item))
        if change.steps:
            self._write(change)

    def _write(self, change: Change) -> None:
        if not (self.transitions and self.transitions[-1].end):
            change.end_if_over()
        self.transitions.append(change.transition())
        self._go_on(change.ready)
