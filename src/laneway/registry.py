"""Finds lanes and stores by entry point: the built-in ones come the same way as anybody's."""

import re
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from urllib.parse import urlsplit

from laneway._core.errors import LaneError, SettingInvalid, StoreError
from laneway.ports import Lane, Store

__all__ = ["lane_factories", "store_from", "store_of"]

_LANES = "laneway.lanes"
_STORES = "laneway.stores"
_ALIASES = {"postgresql": "postgres"}


class LaneBroken(LaneError):
    """A lane's entry point cannot be loaded."""

    code = "LW-LANE-010"
    template = (
        "lane {lane!r} from {source} cannot be loaded: {reason}. Reinstall or remove that distribution."
    )


class StoreDriverMissing(StoreError):
    """The store needs a driver that is not installed."""

    code = "LW-STORE-007"
    template = (
        "store {scheme!r} needs a driver that is not installed ({reason}): pip install 'laneway[{extra}]'"
    )


def lane_factories() -> dict[str, Callable[..., Lane]]:
    """Per lane what makes it; called with the fleet of workers.

    Raises:
        LaneBroken: a lane that is installed cannot be imported.
    """
    factories: dict[str, Callable[..., Lane]] = {}
    for entry in entry_points(group=_LANES):
        try:
            factories[entry.name] = entry.load()
        except (ImportError, AttributeError) as error:
            source = entry.dist.name if entry.dist is not None else "an unknown distribution"
            raise LaneBroken(lane=entry.name, source=source, reason=str(error)) from error
    return factories


def store_from(url: str, *, durability: str) -> Store:
    """Make the store that a URL names; it is not opened yet.

    `memory://`, `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://user@host/database`.

    Raises:
        SettingInvalid: the URL names no store.
        StoreDriverMissing: the store's driver is not installed.
    """
    if not isinstance(url, str):
        raise SettingInvalid(
            setting="store",
            value=url,
            reason=f"it is {type(url).__name__}, not a URL",
            advice="Use sqlite:///laneway.db.",
        )
    scheme, separator, _ = url.partition("://")
    known: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=_STORES)}
    name = _ALIASES.get(scheme, scheme)
    if not separator or name not in known:
        names = ["memory", "sqlite", "postgresql", *known]
        near = get_close_matches(scheme, names, 1)
        advice = "Use memory://, sqlite:///FILE or postgresql://HOST/DATABASE."
        if near:
            advice = f"Did you mean {near[0]}://?"
        elif not separator and url.endswith((".db", ".sqlite", ".sqlite3")):
            advice = f"Did you mean sqlite:///{url}?"
        shown = re.sub(r":[^:/@]*@", ":***@", url)
        raise SettingInvalid(setting="store", value=shown, reason="it names no store", advice=advice)
    try:
        factory: Any = known[name].load()
    except ImportError as error:
        raise StoreDriverMissing(scheme=scheme, reason=str(error), extra=name) from error
    if name == "memory":
        store: Store = factory()
    elif name == "sqlite":
        store = factory(_sqlite_path(url), durability="fsync" if durability == "fsync" else "commit")
    else:
        store = factory(url, durability=durability)
    return store


def _sqlite_path(url: str) -> str:
    parts = urlsplit(url)
    path = url.partition("://")[2]
    if parts.netloc or not path.startswith("/") or len(path) < 2:
        raise SettingInvalid(
            setting="store",
            value=url,
            reason="a SQLite URL has three slashes before a relative path and four before an absolute one",
            advice=f"Did you mean sqlite:///{(parts.netloc + parts.path).lstrip('/') or 'laneway.db'}?",
        )
    return path[1:]


def store_of(store: Any, durability: str) -> Store:
    """A store from its URL; an object that is a store already passes as it is."""
    if hasattr(store, "submit"):
        made: Store = store
        return made
    return store_from(store, durability=durability)
