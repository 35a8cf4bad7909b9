"""Histograms count many values as they would have counted one after the other."""

from hypothesis import given
from hypothesis import strategies as st

from laneway.observe._distributions import ROWS, SECONDS, SECONDS_LONG, Distribution

BOUNDS = st.sampled_from([SECONDS, SECONDS_LONG, ROWS])


@given(st.data())
def test_many_at_once_count_as_one_by_one(data: st.DataObject) -> None:
    bounds = data.draw(BOUNDS)
    values = st.one_of(st.floats(0, 2 * float(bounds[-1])), st.sampled_from(bounds))
    one_by_one, together = Distribution(bounds), Distribution(bounds)
    for batch in data.draw(st.lists(st.lists(values))):
        for value in batch:
            one_by_one.add(value)
        together.add_all(batch)
    assert together.counts == one_by_one.counts
    assert abs(together.total - one_by_one.total) <= 1e-9 * max(one_by_one.total, 1)
    assert together.buckets() == one_by_one.buckets()


def test_a_bound_belongs_to_its_bucket_and_what_is_larger_to_the_last() -> None:
    found = Distribution((1, 2))
    found.add_all([1, 2, 2, 5])
    assert found.counts == [1, 2, 1]
    assert found.buckets() == [("1.0", 1), ("2.0", 3), ("+Inf", 4)]
