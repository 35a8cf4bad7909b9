"""Where a benchmark runs, and what else goes on there."""

import os
import sys

from laneway._core.lane_times import Machine
from laneway.compat.measured import cpu_label

__all__ = ["is_busy", "load", "machine"]

_BUSY_SHARE = 0.25


def load() -> float:
    """The load average of the last minute; 0 where the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def machine(load_before: float) -> Machine:
    """This machine, with its load before measuring and now."""
    system = os.uname()
    return Machine(
        cpu_label(),
        os.process_cpu_count() or 1,
        f"{system.sysname} {system.release} {system.machine}" if sys.platform != "win32" else sys.platform,
        round(load_before, 2),
        round(load(), 2),
    )


def is_busy(here: Machine) -> bool:
    """Whether other programs took a good part of the processors before measuring began."""
    return here.load_before > _BUSY_SHARE * here.cores
