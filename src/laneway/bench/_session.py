"""The rounds of one task: inline and every lane take turns, and what comes out is compared."""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from laneway._core.lane_times import InlineTimes, LaneTimes, spread_of
from laneway.bench._variants import Batch, CallsFailed, Inline, OnLane

__all__ = ["Session", "Trial", "spread_out"]

type Run = Callable[[Sequence[int]], Awaitable[Batch]]


def spread_out(count: int, among: int) -> list[int]:
    """That many numbers below `among`, spread evenly; each as often as any other where there are more than that."""
    if count >= among:
        return [one % among for one in range(count)]
    return [(2 * one + 1) * among // (2 * count) for one in range(count)]


class Trial:
    """One lane's part: its times round by round, or why it is out."""

    def __init__(self, variant: OnLane) -> None:
        self.name = variant.name
        self.variant = variant
        self.out: LaneTimes | None = None
        """Set once it takes no further part."""
        self.start = 0.0
        self.all: list[float] = []
        self.one: list[float] = []
        self.outside: list[float] = []

    def refuse(self, reason: str) -> None:
        """The lane cannot run the task."""
        self.out = LaneTimes(self.name, "refused", reason)

    def fail(self, reason: str) -> None:
        """A call failed there."""
        self.out = LaneTimes(self.name, "failed", reason, self.start)

    def differ(self, reason: str) -> None:
        """It gave another result than inline."""
        self.out = LaneTimes(self.name, "differs", reason, self.start)

    def times(self, all_inline: Sequence[float], one_inline: Sequence[float]) -> LaneTimes:
        """What was measured, as a record."""
        if self.out is not None:
            return self.out
        return LaneTimes(
            self.name,
            "measured",
            "",
            self.start,
            spread_of(self.all),
            spread_of(self.one),
            spread_of(self.outside),
            spread_of([mine / inline for mine, inline in zip(self.all, all_inline, strict=True)]),
            spread_of([mine / inline for mine, inline in zip(self.one, one_inline, strict=True)]),
        )


class Session:
    """Runs the rounds.

    Args:
        inline: the baseline.
        trials: the lanes.
        numbers: which input each call of a round has.
        alone: how many of these calls are also handed over one by one.
        compare: whether a lane that gives other results than inline is out.
    """

    def __init__(
        self,
        inline: Inline,
        trials: Mapping[str, Trial],
        numbers: Sequence[int],
        alone: int,
        *,
        compare: bool,
    ) -> None:
        self.is_steady = True
        """False once inline itself gave different results for one input."""
        self._inline = inline
        self._trials = trials
        self._numbers = numbers
        self._picked = spread_out(alone, len(numbers))
        self._compare = compare
        self._expected: dict[int, str] = {}
        self._shown: dict[str, str] = {}
        self._all: list[float] = []
        self._same: list[float] = []
        """Per round, seconds of one call inline, of those that lanes run alone."""
        self._cpu = 0.0

    async def warm_up(self, say: Callable[[str], None]) -> None:
        """One round that does not count: starts all workers, and shows whether results agree.

        Raises:
            CallsFailed: inline failed.
        """
        say("warming up inline")
        self._compare_inline(self._numbers, await self._inline.run(self._numbers))
        again = [self._numbers[one] for one in self._picked]
        self._compare_inline(again, await self._inline.run(again))
        for trial in self._taking_part(self._trials):
            say(f"warming up the {trial.name} lane")
            begun = time.perf_counter()
            await self._run(trial, trial.variant.run_alone, self._numbers[:1])
            trial.start = time.perf_counter() - begun
            if trial.out is None:
                await self._run(trial, trial.variant.run, self._numbers)

    async def round(self, number: int) -> None:
        """One round that counts: all calls inline and on each lane, each time in another order; then calls alone.

        Raises:
            CallsFailed: inline failed.
        """
        order = ["inline", *self._trials]
        turn = number % len(order)
        for name in [*order[turn:], *order[:turn]]:
            if name == "inline":
                await self._run_inline()
                continue
            for trial in self._taking_part([name]):
                found = await self._run(trial, trial.variant.run, self._numbers)
                if found is not None:
                    trial.all.append(found.seconds)
        picked = [self._numbers[one] for one in self._picked]
        for trial in self._taking_part([*order[turn:], *order[:turn]]):
            found = await self._run(trial, trial.variant.run_alone, picked)
            if found is not None:
                trial.one.append(_median(found.each))
                trial.outside.append(_median(found.outside))

    async def _run_inline(self) -> None:
        batch = await self._inline.run(self._numbers)
        self._compare_inline(self._numbers, batch)
        self._all.append(batch.seconds)
        self._same.append(_median([batch.each[one] for one in self._picked]))
        self._cpu += batch.cpu_seconds

    def inline_times(self, start: float) -> InlineTimes:
        """The baseline as a record."""
        share = min(1.0, self._cpu / sum(self._all)) if sum(self._all) > 0 else 1.0
        return InlineTimes(spread_of(self._all), spread_of(self._same), start, round(share, 3))

    def lane_times(self) -> tuple[LaneTimes, ...]:
        """The lanes as records."""
        return tuple(one.times(self._all, self._same) for one in self._trials.values())

    def _taking_part(self, names: Collection[str]) -> list[Trial]:
        return [one for name in names if (one := self._trials.get(name)) is not None and one.out is None]

    async def _run(self, trial: Trial, run: Run, numbers: Sequence[int]) -> Batch | None:
        """A batch on a lane; None if the lane is out after it."""
        try:
            batch = await run(numbers)
        except CallsFailed as failed:
            trial.fail(str(failed))
            return None
        if self._compare and self.is_steady:
            for number, digest in zip(numbers, batch.digests, strict=True):
                if digest != self._expected[number]:
                    inline = self._shown.get(self._expected[number], "")
                    trial.differ(
                        f"for input {number + 1} it gave {batch.shown[digest]}, inline gave {inline}"
                    )
                    return None
        return batch

    def _compare_inline(self, numbers: Sequence[int], batch: Batch) -> None:
        self._shown.update(batch.shown)
        for number, digest in zip(numbers, batch.digests, strict=True):
            if self._expected.setdefault(number, digest) != digest:
                self.is_steady = False


def _median(values: Sequence[float]) -> float:
    return spread_of(values).median
