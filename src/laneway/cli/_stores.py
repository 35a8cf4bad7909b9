"""Stores as commands open them to look at runs: without an engine, and never making a file by looking."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid7

from laneway._core.errors import RunNotFound, StoreError
from laneway.cli._options import store_url
from laneway.ports import Store
from laneway.registry import store_from
from laneway.stores._processes import here
from laneway.stores.sqlite import SqliteStore

__all__ = ["StoreMissing", "full_id", "is_missing", "opened"]

_MANY = 100_000


class StoreMissing(StoreError):
    """The store that was named is not there yet."""

    code = "LW-CLI-002"
    template = "there is no store at {store} yet. `laneway run TARGET` makes it; --store URL names another."


class RunAmbiguous(StoreError):
    """Several runs begin with what was given."""

    code = "LW-CLI-003"
    template = "{count} runs begin with {run!r}: {listing}. Give more of the id."


def is_missing(store: Store) -> bool:
    """Whether opening would make a new store."""
    return isinstance(store, SqliteStore) and not store.path.exists()


@asynccontextmanager
async def opened(given: str | None) -> AsyncIterator[Store]:
    """The store that the user named, open.

    Raises:
        StoreMissing: it would have to be made.
    """
    url = store_url(given)
    store = store_from(url, durability="commit")
    if is_missing(store):
        raise StoreMissing(store=url)
    await store.open(here(str(uuid7())))
    try:
        yield store
    finally:
        await store.close()


async def full_id(store: Store, text: str) -> str:
    """The run that a whole id, the beginning of one, or `latest` names.

    Raises:
        RunNotFound: no run has that id.
        RunAmbiguous: several runs begin so.
    """
    url: Any = getattr(store, "url", "")
    if text == "latest":
        newest = await store.read("runs", limit=1)
        if not newest:
            raise RunNotFound(run=text, store=url)
        return str(newest[0]["id"])
    try:
        return str((await store.read("run", run=str(UUID(text))))[0]["id"])
    except ValueError:
        wanted = text.lower()
    ids = [str(row["id"]) for row in await store.read("runs", limit=_MANY)]
    found = [one for one in ids if one.startswith(wanted) or one.replace("-", "").startswith(wanted)]
    if not found or not wanted:
        raise RunNotFound(run=text, store=url)
    if len(found) > 1:
        listing = ", ".join(found[:5]) + (" and more" if len(found) > 5 else "")
        raise RunAmbiguous(run=text, count=len(found), listing=listing)
    return found[0]
