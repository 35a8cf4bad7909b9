"""Order, cycles and ancestors hold for any graph."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from laneway._core.graph import ancestors, find_cycle, topological

Graph = list[list[int]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any directed graph, self-loops and doubled edges included."""
    size = draw(st.integers(1, 12))
    return [draw(st.lists(st.integers(0, size - 1), max_size=4)) for _ in range(size)]


@st.composite
def orders(draw: st.DrawFn) -> Graph:
    """Any graph without a cycle, its nodes in any order."""
    size = draw(st.integers(1, 12))
    rank = draw(st.permutations(range(size)))
    needs: Graph = [[] for _ in range(size)]
    for place, node in enumerate(rank):
        if place:
            needs[node] = draw(st.lists(st.sampled_from(rank[:place]), max_size=4))
    return needs


@given(graphs())
def test_a_graph_has_an_order_or_a_cycle_and_never_both(needs: Graph) -> None:
    assert (topological(needs) is None) == bool(find_cycle(needs))


@given(graphs())
def test_a_cycle_is_a_real_path_through_the_graph(needs: Graph) -> None:
    cycle = find_cycle(needs)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        for before, after in pairwise(cycle):
            assert before in needs[after], "each one is needed by the next"


@given(orders())
def test_everything_comes_after_what_it_needs(needs: Graph) -> None:
    order = topological(needs)
    assert order is not None
    place = {node: number for number, node in enumerate(order)}
    assert sorted(order) == list(range(len(needs)))
    assert all(place[one] < place[node] for node, before in enumerate(needs) for one in before)


@given(orders())
def test_among_free_ones_the_earlier_declared_comes_first(needs: Graph) -> None:
    order = topological(needs)
    assert order is not None
    done: set[int] = set()
    for node in order:
        free = [one for one in range(len(needs)) if one not in done and done.issuperset(needs[one])]
        assert node == min(free)
        done.add(node)


@given(orders())
def test_ancestors_are_all_that_can_be_reached_backwards(needs: Graph) -> None:
    order = topological(needs)
    assert order is not None
    rank = {old: new for new, old in enumerate(order)}
    ranked = [sorted({rank[one] for one in needs[old]}) for old in order]
    for node, mask in enumerate(ancestors(ranked)):
        reached: set[int] = set()
        waiting = list(ranked[node])
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached.add(one)
                waiting += ranked[one]
        assert reached == {one for one in range(len(needs)) if mask >> one & 1}
