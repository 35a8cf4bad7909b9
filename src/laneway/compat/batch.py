"""The batch as a Laneway workflow: one step per distribution on the process lane, each kept as soon as it is known."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from laneway._core.compat import Probe
from laneway.authoring import Workflow, task
from laneway.compat._children import Limits
from laneway.compat.cache import ProbeCache, probe_key
from laneway.compat.distributions import Installed, dependency_keys, owners_of
from laneway.compat.environments import Environment
from laneway.compat.probe import Where, probe, probe_free_threaded
from laneway.compat.resolution import Provided

__all__ = ["Batch", "batch_of", "probe_distribution", "probing"]


class Setting(msgspec.Struct, frozen=True):
    """What all steps of one batch share; kept in a file, because it may be large."""

    where: Where
    folder: str
    found: tuple[Installed, ...]
    deep: bool
    mode: str
    natives: tuple[str, ...] = ()
    """For the free-threaded mode: distributions with extension modules on the build with a GIL."""


class Batch(NamedTuple):
    """What is known already, and what a run of the workflow must find out."""

    known: dict[str, Probe]
    keys: dict[str, str]
    """Per distribution, the name its result is kept under."""
    orders: tuple[dict[str, str], ...]
    setting: Path
    key: str
    """The run's idempotency key: the same batch goes on where it was stopped."""


@task(each="orders", lane="process", fallback=True)
def probe_distribution(order: dict[str, str], setting: str) -> dict[str, Any]:
    """Probe one distribution in disposable processes and keep what was found."""
    shared = _setting(setting)
    one = next(found for found in shared.found if found.name == order["name"])
    if shared.mode == "free-threaded":
        trial = probe_free_threaded(one, shared.where, elsewhere=one.name in shared.natives)
        result = Probe(one.name, one.version, shared.where.build, free_threaded=trial)
    else:
        result = probe(one, shared.where, deep=shared.deep)
    if order["key"]:
        ProbeCache(Path(shared.folder)).keep(order["key"], result)
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(result))
    return found


probing = Workflow("laneway-compat", [probe_distribution])
"""Runs over a context with `orders` (name and cache key of each) and `setting` (a file)."""


@cache
def _setting(file: str) -> Setting:
    return msgspec.json.decode(Path(file).read_bytes(), type=Setting)


def batch_of(
    provided: Provided,
    environment: Environment,
    folder: Path,
    *,
    deep: bool,
    limits: Limits,
    fresh: bool = False,
    mode: str = "normal",
    natives: frozenset[str] = frozenset(),
) -> Batch:
    """Look up what is known, and order the rest: largest first, so that the last ones are short."""
    by_name = {one.name: one for one in provided.found}
    store = ProbeCache(folder)
    build = f"{environment.build} {mode}"
    keys = {
        one.name: ""
        if one.is_editable
        else probe_key(one.digest, dependency_keys(one, by_name), build, deep=deep)
        for one in provided.found
    }
    known: dict[str, Probe] = {}
    if not fresh:
        for name, key in keys.items():
            found = store.find(key) if key else None
            if found is not None:
                known[name] = found
    waiting = [one for one in provided.found if one.name not in known]
    waiting.sort(key=lambda one: (-len(one.extensions), -len(one.files), one.name))
    orders = tuple({"name": one.name, "key": keys[one.name]} for one in waiting)
    where = Where(
        environment.interpreter, provided.path, environment.build, owners_of(provided.found), limits
    )
    setting = Setting(where, str(folder), provided.found, deep, mode, tuple(sorted(natives)))
    data = msgspec.json.encode(setting)
    digest = sha256(data + repr(orders).encode()).hexdigest()[:24]
    file = folder / "batches" / f"{digest}.json"
    if orders:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_bytes(data)
    return Batch(known, keys, orders, file, f"compat-{digest}")
