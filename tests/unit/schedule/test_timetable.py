"""Timetables against an independent reference, and at every edge of clocks and calendars."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from cron_reference import Reference
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from laneway._core.timetable import (
    Decision,
    Misfire,
    Timetable,
    decide,
    due_between,
    jitter_of,
    last_between,
    next_after,
    problem_with,
)

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tehran", "UTC")
EDGES = ("2021-03-21", "2021-03-28", "2021-04-04", "2021-09-21", "2021-10-03", "2021-10-31", "2020-02-28")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def daily(cron: str, zone: str, start: str, days: int = 1) -> list[str]:
    """What is due on some days, as local times with their offsets."""
    begin = at(start, zone) - timedelta(microseconds=1)
    found = due_between(Timetable(cron=cron, timezone=zone), begin, begin + DAY * days)
    return [one.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for one in found]


# ---- against the reference


@pytest.mark.parametrize(
    ("zone", "cron"),
    [
        ("Europe/Berlin", "*/7 * * * *"),
        ("Europe/Berlin", "13,47 2-3 * * *"),
        ("America/New_York", "0 */2 * * *"),
        ("Australia/Lord_Howe", "*/7 * * * *"),
        ("Australia/Lord_Howe", "13,47 1-2 * * *"),
        ("Asia/Tehran", "30 0 28-31 * 0"),
        ("UTC", "59 23 * 2 *"),
    ],
)
def test_a_year_of_minutes_agrees_with_the_reference(zone: str, cron: str) -> None:
    year = 2021 if zone == "Asia/Tehran" else 2024  # Tehran gave daylight saving up in 2022
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    found = list(due_between(Timetable(cron=cron, timezone=zone), start, end))
    assert found == Reference(cron).due(zone, start, end)


fields = st.tuples(
    st.sampled_from(["*", "*/5", "0", "15", "0,30", "10-50/20", "59"]),
    st.sampled_from(["*", "*/3", "0", "1", "2", "2,3", "0-4", "23", "*/1"]),
    st.sampled_from(["*", "1", "29", "31", "*/9", "25-31"]),
    st.sampled_from(["*", "2", "3,4,9,10,11", "*/2"]),
    st.sampled_from(["*", "0", "sun", "1-5", "7", "6"]),
)


@given(
    fields=fields,
    zone=st.sampled_from(ZONES),
    edge=st.sampled_from(EDGES),
    offset=st.integers(-2000, 2000),
)
@example(fields=("*", "2", "*", "*", "*"), zone="Europe/Berlin", edge="2021-10-31", offset=60)
@settings(max_examples=120, deadline=None)
def test_any_expression_agrees_with_the_reference_around_an_edge(
    fields: tuple[str, ...], zone: str, edge: str, offset: int
) -> None:
    assume(not (fields[2] == "31" and fields[3] == "2"))  # refused: it never comes
    cron = " ".join(fields)
    start = at(edge) + MINUTE * offset
    end = start + DAY * 3
    assert list(due_between(Timetable(cron=cron, timezone=zone), start, end)) == Reference(cron).due(
        zone, start, end
    )


@given(
    fields=fields, zone=st.sampled_from(ZONES), minutes=st.lists(st.integers(0, 4000), min_size=2, max_size=6)
)
@settings(max_examples=60, deadline=None)
def test_looking_in_pieces_loses_and_doubles_nothing(
    fields: tuple[str, ...], zone: str, minutes: list[int]
) -> None:
    assume(not (fields[2] == "31" and fields[3] == "2"))
    table = Timetable(cron=" ".join(fields), timezone=zone)
    start = at("2021-10-30")
    cuts = [start + MINUTE * one for one in sorted(minutes)]
    pieces = [one for low, high in pairwise(cuts) for one in due_between(table, low, high)]
    assert pieces == list(due_between(table, cuts[0], cuts[-1]))


# ---- daylight saving


@pytest.mark.parametrize(
    ("zone", "day", "cron", "expected"),
    [
        ("Europe/Berlin", "2024-03-31", "30 2 * * *", ["31 03:00 +0200"]),
        ("Europe/Berlin", "2024-03-31", "0,30 2 * * *", ["31 03:00 +0200"]),
        ("Europe/Berlin", "2024-03-31", "30 2,3 * * *", ["31 03:00 +0200", "31 03:30 +0200"]),
        ("Europe/Berlin", "2024-10-27", "30 2 * * *", ["27 02:30 +0200"]),
        (
            "Europe/Berlin",
            "2024-10-27",
            "0 1-3 * * *",
            ["27 01:00 +0200", "27 02:00 +0200", "27 03:00 +0100"],
        ),
        ("America/New_York", "2024-03-10", "15 2 * * *", ["10 03:00 -0400"]),
        ("America/New_York", "2024-11-03", "15 1 * * *", ["03 01:15 -0400"]),
        ("Australia/Lord_Howe", "2024-10-06", "15 2 * * *", ["06 02:30 +1100"]),
        ("Australia/Lord_Howe", "2024-04-07", "45 1 * * *", ["07 01:45 +1100"]),
        ("Asia/Tehran", "2021-03-22", "30 0 * * *", ["22 01:00 +0430"]),
        ("Asia/Tehran", "2021-09-21", "30 23 * * *", ["21 23:30 +0430"]),
    ],
)
def test_skipped_and_doubled_local_times_run_once(
    zone: str, day: str, cron: str, expected: list[str]
) -> None:
    begin = at(day, zone) - timedelta(microseconds=1)
    until = at(f"{day} 23:59:59", zone)
    found = due_between(Timetable(cron=cron, timezone=zone), begin, until)
    assert [one.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for one in found] == expected


@pytest.mark.parametrize("zone", ZONES)
def test_every_five_minutes_is_five_minutes_apart_all_year(zone: str) -> None:
    start = datetime(2021, 1, 1, tzinfo=UTC)
    found = due_between(Timetable(cron="*/5 * * * *", timezone=zone), start, start + DAY * 366)
    assert {later - earlier for earlier, later in pairwise(found)} == {MINUTE * 5}


def test_a_start_within_the_second_pass_of_a_doubled_hour_goes_on_after_it() -> None:
    table = Timetable(cron="45 2 * * *", timezone="Europe/Berlin")
    second_pass = datetime(2024, 10, 27, 2, 10, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    assert next_after(table, second_pass) == at("2024-10-28 02:45", "Europe/Berlin")


# ---- calendars


def test_the_31st_comes_in_seven_months_only() -> None:
    found = due_between(Timetable(cron="0 12 31 * *"), at("2025-01-01"), at("2025-12-31 23:59"))
    assert [one.month for one in found] == [1, 3, 5, 7, 8, 10, 12]


def test_29_february_comes_in_leap_years_only() -> None:
    found = islice(due_between(Timetable(cron="0 0 29 2 *"), at("2095-01-01"), at("2120-01-01")), 3)
    assert [one.date().isoformat() for one in found] == ["2096-02-29", "2104-02-29", "2108-02-29"]


def test_the_last_day_of_each_month() -> None:
    found = due_between(Timetable(cron="0 0 L * *"), at("2024-01-01"), at("2024-05-01"))
    assert [one.day for one in found] == [31, 29, 31, 30]


def test_day_and_weekday_fields_are_both_asked_unless_neither_is_a_star() -> None:
    assert len(daily("0 0 1 * mon", "UTC", "2024-07-01", 31)) == 5  # the first, or any Monday
    assert len(daily("0 0 */31 * mon", "UTC", "2024-07-01", 31)) == 1  # the first, if it is a Monday


@pytest.mark.parametrize("text", ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"])
def test_common_names_are_understood(text: str) -> None:
    assert problem_with(Timetable(cron=text)) is None


# ---- intervals and single moments


def test_an_interval_keeps_to_its_anchor_without_drift() -> None:
    table = Timetable(every=timedelta(seconds=0.1), anchor=at("2024-01-01"))
    found = list(due_between(table, at("2024-01-01"), at("2024-01-01 00:01:40")))
    assert len(found) == 1000
    assert found[-1] == at("2024-01-01 00:01:40")


def test_an_interval_begins_one_step_after_its_anchor() -> None:
    table = Timetable(every=HOUR, anchor=at("2024-01-01 10:20"))
    assert next_after(table, at("2023-01-01")) == at("2024-01-01 11:20")


def test_a_single_moment_comes_once() -> None:
    table = Timetable(at=at("2024-02-29 12:00"))
    assert next_after(table, at("2024-02-29 11:59")) == at("2024-02-29 12:00")
    assert next_after(table, at("2024-02-29 12:00")) is None


# ---- mistakes


@pytest.mark.parametrize(
    ("table", "part"),
    [
        (Timetable(), "exactly one"),
        (Timetable(cron="* * * * *", every=HOUR), "exactly one"),
        (Timetable(cron="61 * * * *"), "not a cron expression (bad minute)"),
        (Timetable(cron="0 25 * * *"), "(bad hour); write five fields"),
        (Timetable(cron="0 0 * *"), "(wrong number of fields)"),
        (Timetable(cron="0 0 0 * * *"), "(wrong number of fields)"),
        (Timetable(cron="0 0 30 2 *"), "not a cron expression"),
        (Timetable(cron="0 0 * * *", timezone="Europe/Zürich"), "time zone"),
        (Timetable(cron="0 0 * * *", timezone="Europe/Berln"), "did you mean 'Europe/Berlin'?"),
        (Timetable(cron="0 0 * * *", timezone="nowhere at all"), "write it like 'Europe/Zurich'"),
        (Timetable(every=HOUR, timezone="Europe/Berln"), "did you mean 'Europe/Berlin'?"),
        (Timetable(at=datetime(2024, 1, 1, tzinfo=UTC), timezone="Europe/Berln"), "did you mean"),
        (Timetable(every=timedelta(0)), "too short"),
        (Timetable(at=datetime(2024, 1, 1)), "no time zone"),
    ],
)
def test_a_mistake_is_told(table: Timetable, part: str) -> None:
    assert part in str(problem_with(table))


# ---- what to run


def decided(table: Timetable, due: str, now: str, misfire: Misfire, **options: int) -> Decision:
    return decide(table, "job", at(due), at(now), misfire=misfire, limit=options.get("limit", 100))


HOURLY = Timetable(cron="0 * * * *")


def test_on_time_one_moment_runs_and_the_next_follows() -> None:
    for policy in ("skip", "once", "all"):
        found = decided(HOURLY, "2024-01-01 10:00", "2024-01-01 10:00", policy)
        assert found == ([at("2024-01-01 10:00")], 0, at("2024-01-01 11:00"))


def test_nothing_runs_before_its_time_even_if_the_clock_was_set_back() -> None:
    found = decided(HOURLY, "2024-01-01 10:00", "2024-01-01 08:59", "all")
    assert found == ([], 0, at("2024-01-01 10:00"))


def test_after_a_long_sleep_skip_runs_none_once_runs_the_latest_and_all_runs_each() -> None:
    due, now = "2024-01-01 10:00", "2024-01-01 14:30"
    assert decided(HOURLY, due, now, "skip") == ([], 5, at("2024-01-01 15:00"))
    assert decided(HOURLY, due, now, "once") == ([at("2024-01-01 14:00")], 4, at("2024-01-01 15:00"))
    found = decided(HOURLY, due, now, "all")
    assert found.run == [at(f"2024-01-01 {hour}:00") for hour in (10, 11, 12, 13, 14)]
    assert found.missed == 0


def test_skip_still_runs_the_moment_that_is_on_time() -> None:
    found = decided(HOURLY, "2024-01-01 10:00", "2024-01-01 14:00:30", "skip")
    assert found == ([at("2024-01-01 14:00")], 4, at("2024-01-01 15:00"))


def test_catching_up_is_bounded_and_keeps_the_latest() -> None:
    found = decided(Timetable(cron="* * * * *"), "2020-01-01 00:00", "2024-01-01 00:00", "all", limit=3)
    assert found.run == [at("2023-12-31 23:58"), at("2023-12-31 23:59"), at("2024-01-01 00:00")]
    assert found.missed > 1000


def test_a_single_moment_that_was_missed_is_made_up_for() -> None:
    table = Timetable(at=at("2024-01-01 10:00"))
    assert decided(table, "2024-01-01 10:00", "2024-03-01", "once") == ([at("2024-01-01 10:00")], 0, None)
    assert decided(table, "2024-01-01 10:00", "2024-03-01", "skip") == ([], 1, None)


@given(
    every=st.integers(1, 90),
    jitter=st.integers(0, 120),
    looks=st.lists(st.integers(1, 400), min_size=1, max_size=20),
)
@settings(max_examples=100, deadline=None)
def test_whenever_one_looks_every_moment_runs_exactly_once(every: int, jitter: int, looks: list[int]) -> None:
    table = Timetable(every=timedelta(seconds=every), anchor=at("2024-01-01"))
    late = timedelta(seconds=jitter)
    due, now = next_after(table, at("2024-01-01")), at("2024-01-01")
    ran: list[datetime] = []
    for seconds in looks:
        now += timedelta(seconds=seconds)
        assert due is not None
        found = decide(table, "job", due, now, misfire="all", limit=10_000, jitter=late)
        ran += found.run
        due = found.next
    assert ran == sorted(set(ran))
    assert ran == list(islice(due_between(table, at("2024-01-01"), now), len(ran)))
    assert all(one + jitter_of("job", one, late) <= now for one in ran)
    assert due is not None
    assert due + jitter_of("job", due, late) > now


@given(
    every=st.integers(1, 5000),
    most=st.integers(1, 50),
    span=st.integers(0, 100_000),
    phase=st.integers(0, 9999),
)
@settings(max_examples=100, deadline=None)
def test_the_latest_moments_are_the_end_of_all_moments(every: int, most: int, span: int, phase: int) -> None:
    start = at("2024-01-01") + timedelta(seconds=phase)
    until = start + timedelta(seconds=span)
    for table in (
        Timetable(every=timedelta(seconds=every), anchor=at("2024-01-01")),
        Timetable(cron="*/17 */5 * * *", timezone="Europe/Berlin"),
    ):
        assert last_between(table, start, until, most) == list(due_between(table, start, until))[-most:]


def test_jitter_is_the_same_for_one_name_and_moment_and_spreads_evenly() -> None:
    moments = list(due_between(Timetable(cron="* * * * *"), at("2024-01-01"), at("2024-01-03")))
    delays = [jitter_of("job", one, MINUTE) for one in moments]
    assert delays == [jitter_of("job", one, MINUTE) for one in moments]
    assert all(timedelta(0) <= one < MINUTE for one in delays)
    assert 25 < sum(one.total_seconds() for one in delays) / len(delays) < 35
    assert jitter_of("other", moments[0], MINUTE) != delays[0]
