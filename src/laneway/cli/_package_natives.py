"""Which vendored libraries with native code load in an interpreter: asked of the compatibility probe."""

from pathlib import Path
from typing import Any

from laneway._core.compat import judge_interpreter
from laneway.compat.distributions import installed_in, owners_of
from laneway.compat.environments import environment_of
from laneway.compat.probe import Where, probe

__all__ = ["native_facts", "native_lines"]

_LANE = {"green": "interpreter", "yellow": "interpreter", "red": "process", "unknown": "process"}


def native_facts(root: Path) -> list[dict[str, Any]]:
    """One record per vendored library with native code; imports them in disposable processes.

    `loads` is the probe's answer, `reason` why not, `lane` the isolated lane that it allows.
    """
    vendor = str(root / "vendor")
    found = installed_in([vendor])
    here = environment_of()
    standard = tuple(one for one in here.path if Path(one).name not in ("site-packages", "dist-packages"))
    where = Where(here.interpreter, (vendor, *standard), here.build, owners_of(found))
    facts: list[dict[str, Any]] = []
    for one in found:
        if not one.is_native:
            continue
        verdict = judge_interpreter(probe(one, where))
        facts.append(
            {
                "name": one.name,
                "version": one.version,
                "status": verdict.status,
                "loads": verdict.answer,
                "reason": verdict.reason.strip().partition("\n")[0],
                "lane": _LANE[verdict.status],
            }
        )
    return facts


def native_lines(facts: list[dict[str, Any]]) -> list[str]:
    """The same for people."""
    lines: list[str] = []
    for one in facts:
        reason = f" ({one['reason']})" if one["reason"] else ""
        lines.append(
            f"  {one['name']}: native code, {one['loads']}{reason}: {one['lane']} lane for isolated tasks"
        )
    return lines
