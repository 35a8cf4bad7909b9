"""Whether another engine's process still lives, where this one can see it."""

import os
from pathlib import Path

from laneway.ports import EngineCard

__all__ = ["booted_apart", "here", "is_gone"]


def here(engine: str) -> EngineCard:
    """This process as an engine."""
    return EngineCard(engine, _host(), os.getpid(), _started(os.getpid()) or 0.0)


def is_gone(engine: EngineCard, *, beside: EngineCard) -> bool:
    """True only if the engine's process is surely over: same host and process namespace, and no such process."""
    if engine.host != beside.host:
        return False
    try:
        os.kill(engine.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    if engine.started == 0.0:
        return False  # the system does not tell when processes started
    return _started(engine.pid) != engine.started


def booted_apart(engine: EngineCard, *, beside: EngineCard) -> bool:
    """Whether the two were started by different boots of a machine: a local file's other engine is gone then."""
    one, found, _ = engine.host.partition(_NAMESPACE)
    other, also, _ = beside.host.partition(_NAMESPACE)
    return bool(found and also) and one != other


_NAMESPACE = "/pid:["


def _host() -> str:
    """The boot and the process namespace: after a restart, or in another container, process ids mean nothing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return os.uname().nodename if hasattr(os, "uname") else "host"


def _started(pid: int) -> float | None:
    """Start of a process in clock ticks since boot; None for one that is over, or where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else float(fields[19])
