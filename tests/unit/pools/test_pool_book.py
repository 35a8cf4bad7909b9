"""A pool against a model, with whatever may happen to it in whatever order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from laneway._core.pool_book import PoolBook, PoolTooSmall

ROUNDING = 1e-6


class PoolMachine(RuleBasedStateMachine):
    """Holders come and go, give up waiting, crash (release twice), and the pool is resized."""

    kind = "slots"
    per = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.capacity = 3.0
        self.book = PoolBook("p", self.kind, self.capacity, self.per)  # type: ignore[arg-type]
        self.held: dict[int, float] = {}
        self.waiting: dict[int, float] = {}
        self.taken: list[tuple[float, float]] = []
        self.number = 0
        self.shrunk = 0.0

    def given(self, ticket: int, amount: float) -> None:
        self.held[ticket] = amount
        self.taken.append((self.now, amount))

    def granted(self) -> None:
        for ticket in self.book.grant(self.now):
            self.given(ticket, self.waiting.pop(ticket))

    @rule(
        amount=st.sampled_from([1.0, 1.0, 0.5, 2.0, 4.0]),
        priority=st.integers(-2, 2),
        key=st.sampled_from("ab"),
    )
    def ask(self, amount: float, priority: int, key: str) -> None:
        amount = 1.0 if self.kind == "slots" else amount
        self.number += 1
        try:
            if self.book.ask(self.number, amount, self.now, priority=priority, key=key):
                assert not self.waiting  # nobody is overtaken
                self.given(self.number, amount)
            else:
                self.waiting[self.number] = amount
        except PoolTooSmall:
            assert amount > self.capacity

    @precondition(lambda self: self.held)
    @rule(data=st.data(), crash=st.booleans())
    def release(self, data: st.DataObject, crash: bool) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.held)))
        assert self.book.release(ticket)
        del self.held[ticket]
        if crash:
            assert not self.book.release(ticket)
        self.granted()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.waiting)))
        assert self.book.release(ticket)
        del self.waiting[ticket]
        self.granted()

    @rule(capacity=st.sampled_from([1.0, 2.0, 3.0, 6.0]))
    def resize(self, capacity: float) -> None:
        lost = self.book.resize(capacity)
        assert all(self.waiting.pop(ticket) > capacity for ticket in lost)
        self.capacity = capacity
        self.shrunk = self.now
        self.granted()

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.granted()

    def in_use(self) -> float:
        return sum(self.held.values())

    @invariant()
    def never_over_capacity(self) -> None:
        if not self.taken or self.taken[-1][0] <= self.shrunk:
            return  # nothing was given since it shrank
        assert self.in_use() <= self.capacity + ROUNDING

    @invariant()
    def never_leaked(self) -> None:
        report = self.book.report(self.now)
        assert abs(report.used - self.in_use()) < ROUNDING
        assert report.waiting == len(self.waiting)
        assert report.holders == len(self.held)

    @invariant()
    def never_idle_while_somebody_waits(self) -> None:
        assert not self.waiting or self.in_use() + max(self.waiting.values()) > self.capacity - ROUNDING

    def teardown(self) -> None:
        for ticket in list(self.held):
            self.book.release(ticket)
            del self.held[ticket]
            self.granted()
        for _ in range(len(self.waiting) + 1):
            for ticket in list(self.held):
                self.book.release(ticket)
                del self.held[ticket]
            self.now += 10.0
            self.granted()
        assert not self.waiting  # everybody is served in the end


class BudgetMachine(PoolMachine):
    kind = "budget"


class RateMachine(PoolMachine):
    """What is released stays used until its period is over."""

    kind = "rate"
    per = 2.0

    def in_use(self) -> float:
        return sum(amount for when, amount in self.taken if when + self.per > self.now)

    @invariant()
    def the_alarm_is_neither_late_nor_early(self) -> None:
        left = self.book.next_grant(self.now)
        assert (left is None) == (not self.waiting)
        if left is not None:
            assert 0 <= left <= self.per + ROUNDING


TestSlots = PoolMachine.TestCase
TestBudget = BudgetMachine.TestCase
TestRate = RateMachine.TestCase
for case in (TestSlots, TestBudget, TestRate):
    case.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
del case
