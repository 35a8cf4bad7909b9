"""The result as JSON: what `--json` writes, what the adoption report shows."""

from collections.abc import Sequence
from typing import Any

import msgspec

from laneway import __version__
from laneway._core.lane_times import SLOWEST, NotMeasured, TaskTimes
from laneway.bench.lanes import Settings
from laneway.compat.measured import build_label

__all__ = ["as_data"]


def as_data(
    label: str,
    tasks: Sequence[TaskTimes],
    missing: Sequence[NotMeasured],
    settings: Settings,
    *,
    saved: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything that was found out, as plain data. Times are in seconds."""
    return {
        "format": 1,
        "kind": "lanes",
        "target": label,
        "laneway": __version__,
        "python": build_label(),
        "settings": {**settings._asdict(), "most_ratio": SLOWEST},
        "failed": not tasks or any(one.is_failure for one in tasks),
        "tasks": [one.as_data() for one in tasks],
        "not_measured": msgspec.to_builtins(list(missing)),
        "saved": list(saved),
    }
