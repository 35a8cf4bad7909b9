"""Every metric: name, type, unit, labels and meaning. The reference page and the dashboard are checked against it."""

from typing import Literal, NamedTuple

__all__ = ["METRICS", "Metric"]


class Metric(NamedTuple):
    """One family as documented and exposed."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: tuple[str, ...]
    help: str


_ALL = (
    Metric("laneway_build_info", "gauge", "", ("version", "python"), "1, with what runs."),
    Metric("laneway_runs_started_total", "counter", "runs", ("workflow",), "Runs that this engine started."),
    Metric(
        "laneway_runs_taken_up_total",
        "counter",
        "runs",
        ("workflow",),
        "Runs that this engine took up: resumed, or taken over from one that is gone.",
    ),
    Metric(
        "laneway_runs_finished_total",
        "counter",
        "runs",
        ("workflow", "status"),
        "Ends of runs that this engine committed; `suspended` counts each time a run goes to rest.",
    ),
    Metric(
        "laneway_runs_left_total",
        "counter",
        "runs",
        ("reason",),
        "Unfinished runs that this engine left: `interrupted` by its own end, `abandoned` to another engine.",
    ),
    Metric("laneway_runs_live", "gauge", "runs", (), "Runs that this engine drives now."),
    Metric(
        "laneway_steps_total",
        "counter",
        "steps",
        ("lane", "status"),
        "Steps whose end is committed. The lane of what never ran (skipped steps, mapped tasks as a whole) is `none`.",
    ),
    Metric(
        "laneway_attempts_total",
        "counter",
        "attempts",
        ("lane", "status"),
        "Attempts whose outcome is committed, those that are tried again too. One that waits goes on later.",
    ),
    Metric(
        "laneway_attempts_running", "gauge", "attempts", (), "Attempts on their way now, waiting ones too."
    ),
    Metric("laneway_retries_total", "counter", "retries", ("lane",), "Failed attempts that are tried again."),
    Metric(
        "laneway_failures_total",
        "counter",
        "attempts",
        ("kind",),
        "Failed attempts by what went wrong: timeout, policy_violation, lost_lane, missing_key and so on.",
    ),
    Metric(
        "laneway_policy_refusals_total",
        "counter",
        "actions",
        ("lane",),
        "Actions that a package's policy refused, also where the task went on without them.",
    ),
    Metric(
        "laneway_stops_total",
        "counter",
        "attempts",
        ("rung",),
        "Attempts that were stopped, by what it took: ask, interrupt, kill or quarantine.",
    ),
    Metric(
        "laneway_attempt_duration_seconds",
        "histogram",
        "seconds",
        ("lane",),
        "Time that a task's code took, without waiting and transport.",
    ),
    Metric(
        "laneway_run_duration_seconds",
        "histogram",
        "seconds",
        ("workflow",),
        "Time from a run's start in this engine to its committed end.",
    ),
    Metric("laneway_events_total", "counter", "events", ("kind",), "Committed events."),
    Metric(
        "laneway_event_lag_seconds",
        "histogram",
        "seconds",
        (),
        "Time from what an event tells to its being durable and told.",
    ),
    Metric(
        "laneway_store_commits_total",
        "counter",
        "commits",
        (),
        "Changes made durable, each in one transaction.",
    ),
    Metric("laneway_store_commit_rows", "histogram", "rows", (), "Rows and events in one change."),
    Metric(
        "laneway_store_commit_duration_seconds",
        "histogram",
        "seconds",
        (),
        "Time from handing a change to the store to its being durable.",
    ),
    Metric(
        "laneway_backpressure_waits_total",
        "counter",
        "runs",
        (),
        "Calls of `start` that had to wait for room.",
    ),
    Metric(
        "laneway_backpressure_refusals_total",
        "counter",
        "runs",
        (),
        "Calls of `start` with `wait=False` that were refused.",
    ),
    Metric("laneway_lane_queued", "gauge", "attempts", ("lane",), "Attempts that wait for a worker."),
    Metric("laneway_lane_running", "gauge", "attempts", ("lane",), "Attempts that a lane's workers run now."),
    Metric("laneway_lane_workers", "gauge", "workers", ("lane",), "Workers, idle ones too."),
    Metric(
        "laneway_lane_quarantined",
        "gauge",
        "workers",
        ("lane",),
        "Workers that could not be stopped and take no more work.",
    ),
    Metric(
        "laneway_lane_restarts_total", "counter", "workers", ("lane",), "Workers that had to be replaced."
    ),
    Metric("laneway_pool_capacity", "gauge", "units", ("pool",), "What a pool has."),
    Metric("laneway_pool_used", "gauge", "units", ("pool",), "What of a pool is held now."),
    Metric("laneway_pool_holders", "gauge", "steps", ("pool",), "How many hold some of a pool now."),
    Metric("laneway_pool_waiting", "gauge", "steps", ("pool",), "Steps that wait for a pool."),
    Metric(
        "laneway_pool_longest_wait_seconds",
        "gauge",
        "seconds",
        ("pool",),
        "How long the oldest of those that wait for a pool has waited.",
    ),
    Metric("laneway_pool_granted_total", "counter", "grants", ("pool",), "How often a pool was given."),
    Metric(
        "laneway_schedule_leads",
        "gauge",
        "",
        (),
        "1 on the engine that schedules, 0 on one that stands by.",
    ),
    Metric("laneway_schedule_running", "gauge", "jobs", (), "Jobs that the scheduler runs now."),
    Metric(
        "laneway_schedule_firings_total",
        "counter",
        "firings",
        ("status",),
        "Due moments that were seen to their end, by the run's status, or `timed_out` or `refused`.",
    ),
    Metric(
        "laneway_schedule_missed_total",
        "counter",
        "firings",
        (),
        "Due moments that were passed over, as their jobs' misfire rule has it.",
    ),
    Metric(
        "laneway_schedule_lateness_seconds",
        "histogram",
        "seconds",
        (),
        "Time from a due moment to the start of its run, jitter included.",
    ),
)

METRICS: dict[str, Metric] = {one.name: one for one in _ALL}
