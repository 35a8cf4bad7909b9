"""A run's result depends on its workflow alone: not on the order in which steps end, nor on when it was interrupted."""

import json
import random
from typing import Any

from core_runs import Life, Made, made_workflows
from hypothesis import given, settings
from hypothesis import strategies as st

from laneway._core.records import NO_ITEM, StepRow
from laneway._core.transitions import final_context

_CONFLICT = "ContextConflict"


def _chosen_by(seed: int) -> Any:
    chance = random.Random(seed)
    return lambda number: chance.randrange(number)


def _outcome(life: Life) -> tuple[str, Any, Any]:
    """What a run came to, without which of several failures was the first one."""
    final = life.final
    assert final is not None, "the run has an end"
    status, context, error = final
    return status, context, error is None


@settings(max_examples=300, deadline=None)
@given(made_workflows(), st.integers(), st.integers())
def test_the_result_never_depends_on_the_order_in_which_steps_end(made: Made, one: int, other: int) -> None:
    first, second = Life(made).to_the_end(_chosen_by(one)), Life(made).to_the_end(_chosen_by(other))
    assert _outcome(first) == _outcome(second)
    ends = {(row.task, row.item): (row.status, row.patch, row.removed) for row in first.state.rows.values()}
    assert ends == {
        (row.task, row.item): (row.status, row.patch, row.removed) for row in second.state.rows.values()
    }


@settings(max_examples=300, deadline=None)
@given(made_workflows(), st.integers(), st.integers(), st.data())
def test_a_run_interrupted_after_any_transition_comes_to_the_same_end(
    made: Made, before: int, after: int, data: st.DataObject
) -> None:
    whole = Life(made).to_the_end(_chosen_by(before))
    kept = data.draw(st.integers(0, len(whole.transitions) - 1))
    rows: dict[tuple[str, int], StepRow] = {}
    for transition in whole.transitions[:kept]:
        rows.update({(row.task, row.item): row for row in transition.steps})
    again = Life(made, list(rows.values())).to_the_end(_chosen_by(after))
    assert not set(again.ran) & set(rows), "a committed step never runs again"
    assert set(again.ran) | set(rows) >= set(whole.ran)
    assert _outcome(again) == _outcome(whole)
    assert {key: row.status for key, row in again.state.rows.items()} == {
        key: row.status for key, row in whole.state.rows.items()
    }


@settings(max_examples=300, deadline=None)
@given(made_workflows(), st.integers(), st.data())
def test_a_restored_state_equals_the_one_before_the_crash(made: Made, seed: int, data: st.DataObject) -> None:
    choose = _chosen_by(seed)
    life = Life(made)
    for _ in range(data.draw(st.integers(0, 12))):
        if life.running:
            life.take(choose(len(life.running)))
    again = Life(made, list(life.state.rows.values()))
    assert again.state.status == life.state.status
    assert again.state.patches == life.state.patches
    assert again.state.waiting == life.state.waiting
    assert again.state.left == life.state.left
    assert sorted(again.running, key=str) == sorted(life.running, key=str)
    assert (again.state.failed is None) == (life.state.failed is None)
    if again.state.failed is not None:
        assert again.state.failed.error is not None, "the error of a run survives its restart"


@settings(max_examples=200, deadline=None)
@given(made_workflows(), st.integers())
def test_unordered_setters_of_different_values_conflict_by_name_wherever_they_are_seen(
    made: Made, seed: int
) -> None:
    life = Life(made).to_the_end(_chosen_by(seed))
    for row in life.state.rows.values():
        if row.error is None or json.loads(row.error)["type"] != _CONFLICT:
            continue
        message = json.loads(row.error)["message"]
        named = [name for name in life.plan.names if f"'{name}'" in message]
        assert len(named) == 2
        one, other = (life.plan.position[name] for name in named)
        assert not life.plan.ancestors[one] >> other & 1
        assert not life.plan.ancestors[other] >> one & 1
        patches = life.state.patches
        shared = set(patches[one] or ()) & set(patches[other] or ())
        assert any((patches[one] or {})[key] != (patches[other] or {})[key] for key in shared)


@settings(max_examples=200, deadline=None)
@given(made_workflows(conflicts=False), st.integers())
def test_without_shared_keys_nothing_conflicts(made: Made, seed: int) -> None:
    life = Life(made).to_the_end(_chosen_by(seed))
    errors = [json.loads(row.error)["type"] for row in life.state.rows.values() if row.error is not None]
    assert _CONFLICT not in errors


@settings(max_examples=200, deadline=None)
@given(made_workflows(), st.integers())
def test_the_final_context_is_the_initial_one_plus_all_patches_in_topological_order(
    made: Made, seed: int
) -> None:
    life = Life(made).to_the_end(_chosen_by(seed))
    expected: dict[str, Any] = dict(life.state.initial)
    for patch in life.state.patches:
        for key, value in (patch or {}).items():
            if value is None:
                expected.pop(key, None)
            else:
                expected[key] = value
    assert dict(final_context(life.state)) == expected


@settings(max_examples=200, deadline=None)
@given(made_workflows(), st.integers())
def test_every_task_ends_exactly_once(made: Made, seed: int) -> None:
    life = Life(made).to_the_end(_chosen_by(seed))
    ends = [(row.task, row.item) for transition in life.transitions for row in transition.steps]
    assert len(ends) == len(set(ends))
    assert {name for name, item in ends if item == NO_ITEM} == set(life.plan.names)
    assert sum(transition.end is not None for transition in life.transitions) == 1
