"""Where each kind of store keeps artifacts."""

from typing import Any, cast

from laneway.ports import Store
from laneway.stores._memory_artifacts import MemoryArtifacts
from laneway.stores._sqlite_artifacts import SqliteArtifacts
from laneway.stores.memory import MemoryStore
from laneway.stores.sqlite import SqliteStore

__all__ = ["artifacts_of"]


def artifacts_of(store: Store) -> Any:
    """The book that belongs to a store, as `laneway.engine.artifact_ports.ArtifactBook` describes it; None without one.

    A store of somebody else's gives its own by a method `artifact_book`.
    """
    if isinstance(store, SqliteStore):
        return SqliteArtifacts(store)
    if isinstance(store, MemoryStore):
        return MemoryArtifacts(store)
    if type(store).__name__ == "PostgresStore":
        # Only who has such a store has the driver that this needs.
        from laneway.stores._postgres_artifacts import PostgresArtifacts  # noqa: PLC0415

        return PostgresArtifacts(cast("Any", store))
    own = getattr(store, "artifact_book", None)
    return None if own is None else own()
