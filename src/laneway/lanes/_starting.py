"""Starting a worker: what its shim is told, and which host takes it."""

import itertools
import logging
from typing import TYPE_CHECKING

from laneway.lanes._guard import kept_environment
from laneway.lanes._hosts import LANEWAY_PARENT, Host
from laneway.lanes._inline import InlineHost
from laneway.lanes._worker import Worker

if TYPE_CHECKING:
    from laneway.lanes._pool import Pool

__all__ = ["start_worker"]

_numbers = itertools.count(1)


def start_worker(pool: Pool, *, exclusive: bool) -> Worker:
    """Start a worker for the pool's unit; with `exclusive` in a host of its own. Raises OSError when that fails."""
    fleet, unit = pool.fleet, pool.unit
    name = f"{pool.place}-{next(_numbers)}"
    guarded = unit.kind == "package" or bool(unit.policy)
    shell = "process" if pool.place == "process" or fleet.refusal_of(unit) else "interpreter"
    inline = fleet.placement == "inline" and shell == "interpreter"
    living = {worker.name for one in fleet._pools.values() for worker in one.workers}
    setup = {
        "shell": shell,
        "name": name,
        "inline": inline,
        "home": LANEWAY_PARENT,
        "guarded": guarded,
        "artifacts": fleet.workshop(name, guarded and shell == "process", living),
        "place": pool.place,
        "threads": fleet.threads,
        "unit": {
            "kind": unit.kind,
            "entry": unit.entry,
            "paths": list(unit.paths),
            "inherited": list(unit.inherited),
            "policy": dict(unit.policy),
            "limits": dict(unit.limits),
        },
        "output_limit": min(fleet.output_limit, pool.limits.get("output_kib", 1 << 30) * 1024),
        "log_level": logging.getLogger().getEffectiveLevel(),
    }
    environment = kept_environment(dict(unit.policy), fleet.environment) if guarded else None
    while True:
        host: Host | InlineHost
        if inline:
            host = fleet.inline_host()
        else:
            host = fleet.host(exclusive=exclusive or shell == "process", environment=environment)
        is_shared = bool(host.workers)
        try:
            return Worker(pool.loop, host, setup, name, pool.replied)
        except OSError:
            host.kill()
            if not is_shared:  # else it died and nobody noticed yet: the next one is new
                raise
