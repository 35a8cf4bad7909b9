"""What SQLite's error codes mean for the reader, and what to do about each."""

import sqlite3

from laneway._core.errors import StoreError, StoreLocked, StoreUnavailable

__all__ = ["explained", "is_outage"]

_ADVICE = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space; work goes on by itself."),
    sqlite3.SQLITE_READONLY: (
        "the file or its folder is read-only",
        "Make both writable: SQLite needs to create files beside the database.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the file cannot be opened",
        "Check that the folder exists and may be written to.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged",
        "Stop all programs that use it and restore a backup, or recover it with `sqlite3 FILE .recover`.",
    ),
    sqlite3.SQLITE_NOTADB: ("the file is not a SQLite database", "Name another file."),
    sqlite3.SQLITE_IOERR: (
        "reading or writing the file failed",
        "Check the disk, its quota and the system's log; work goes on by itself.",
    ),
    sqlite3.SQLITE_PERM: ("access is denied", "Check the permissions of the file."),
    sqlite3.SQLITE_NOMEM: ("there is no memory left", "Free some; work goes on by itself."),
    sqlite3.SQLITE_PROTOCOL: ("the file's lock is contended", "Work goes on by itself."),
}
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_outage(error: BaseException) -> bool:
    """Whether the store as a whole cannot be written right now, rather than one record being at fault."""
    if isinstance(error, OSError | StoreUnavailable):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF in _ADVICE or code & 0xFF in _BUSY)


def explained(error: BaseException, store: str) -> BaseException:
    """The store error that says what went wrong in words; other errors pass as they are."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, OSError):
        wrapped: StoreError = StoreUnavailable(
            store=store, reason=error.strerror or str(error), advice="Check the path and its permissions."
        )
    elif isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            wrapped = StoreLocked(
                store=store,
                reason="another program holds its lock for too long",
                advice="Find the program that keeps a transaction open; work goes on by itself.",
            )
        else:
            reason, advice = _ADVICE.get(code, (str(error), "Nothing was written."))
            shown = reason if str(error) == reason else f"{reason} ({error})"
            wrapped = StoreUnavailable(store=store, reason=shown, advice=advice)
    else:
        return error
    wrapped.__cause__ = error
    return wrapped
