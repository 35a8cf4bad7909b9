"""The observer that writes the audit log: from the engine's loop to a thread that appends."""

import logging
import os
import pwd
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from time import time
from typing import Any
from uuid import UUID

import msgspec

from laneway._core.errors import LanewayError
from laneway._core.records import Transition
from laneway.observe._json_lines import moment
from laneway.observe.audit import AuditLog, Fsync
from laneway.ports import LiveRun, Observer, Outcome, StepOrder

__all__ = ["AuditTrail"]

log = logging.getLogger("laneway.audit")
_PAUSE_SECONDS = 1.0
_GATHER_SECONDS = 0.05
"""How long entries wait for others to be appended with."""
_AT_ONCE = frozenset({"policy_violation", "package_refused", "settings_changed"})
_LAST_TRIES = 3
_MOST_WAITING = 100_000
"""Entries kept while the log cannot be written; how many did not fit is an entry of its own later."""
_SETTINGS = "settings.json"


class AuditTrail(Observer):
    """Turns what an engine does into entries. What is appended together is whatever waits.

    Args:
        folder: of the log.
        engine: the engine's id.
        fsync: see `AuditLog`.

    Raises:
        OSError: the folder cannot be written.
    """

    ordinary_attempts = False

    def __init__(self, folder: str | Path, *, engine: str, fsync: Fsync = "rotate") -> None:
        self._log = AuditLog(folder, fsync=fsync)
        self._who = {"user": _user(), "pid": os.getpid(), "engine": engine}
        self._queue: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._lost = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="laneway-audit", daemon=True)
        self._thread.start()

    def note(self, what: str, **more: Any) -> None:
        """Append an entry. `more` is what the kind of entry adds: `run`, `task`, `package`, `decision` and so on."""
        if self._queue.qsize() >= _MOST_WAITING:
            self._lost += 1
            if self._lost == 1:
                log.error("the audit log takes no entries: %d wait to be written", _MOST_WAITING)
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self.note("entries_lost", count=lost)
        self._queue.put({"at": time(), "who": self._who, "what": what, **more})

    def settings(self, now: Mapping[str, Any]) -> None:
        """Note what differs from the settings that the last engine with this log had."""
        path = self._log.folder / _SETTINGS
        try:
            before = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except OSError, msgspec.DecodeError:
            before = {}
        changed = {
            key: {"from": before.get(key), "to": now.get(key)}
            for key in sorted({*before, *now})
            if before.get(key) != now.get(key)
        }
        if changed:
            self.note("settings_changed", settings=changed)
            fresh = path.with_name(f"{_SETTINGS}.{os.getpid()}")
            fresh.write_bytes(msgspec.json.encode(dict(now)))
            fresh.replace(path)

    def close(self) -> None:
        """Append what waits and release the files."""
        self._ending.set()
        self._queue.put(None)
        self._thread.join()
        self._log.close()

    # ---- what an engine does

    def run_started(self, run: LiveRun, *, taken_over: bool) -> None:
        """Note who began what."""
        self.note(
            "run_taken_up" if taken_over else "run_started",
            run=run.text_id,
            workflow=run.plan.workflow.name,
            version=run.plan.version,
            correlation_id=run.correlation_id,
            decision="accepted",
        )

    def attempt_ended(self, run: LiveRun, order: StepOrder, outcome: Outcome) -> Outcome:
        """Note what policies refused."""
        if not outcome.refusals and outcome.kind != "failure":
            return outcome
        refused: list[str] = list(outcome.refusals)
        if not refused and outcome.kind == "failure" and b'"policy_violation"' in outcome.body:
            failure = msgspec.json.decode(outcome.body, type=dict[str, Any])
            if failure.get("kind") == "policy_violation":
                refused = [str(failure.get("message", ""))]
        for one in refused:
            self.note(
                "policy_violation",
                run=run.text_id,
                task=order.task.id,
                key=order.item,
                attempt=order.attempt,
                lane=outcome.lane,
                package=order.unit.name,
                package_hash=package_hash(order.unit.key),
                action=one,
                decision="refused",
            )
        return outcome

    def committed(self, run: LiveRun, transition: Transition, seconds: float) -> None:
        """Note ends that somebody asked for."""
        end = transition.end
        if end is not None and end.status == "cancelled":
            self.note("run_cancelled", run=run.text_id, workflow=run.plan.workflow.name, decision="accepted")

    def committed_aside(self, transition: Transition) -> None:
        """Note what was asked of a run that is at rest."""
        run = str(UUID(bytes=transition.run))
        if transition.reopening is not None:
            self.note("run_retried", run=run, steps=len(transition.reopening.forget), decision="accepted")
        if transition.end is not None:
            self.note(f"run_{transition.end.status}", run=run, decision="accepted")

    # ---- the thread that appends

    def _serve(self) -> None:
        tries = 0
        waiting: list[dict[str, Any]] = []
        ending = False
        while not ending or waiting:
            if not waiting:
                ending = self._take(waiting)
            if not waiting:
                continue
            try:
                self._log.append([{**one, "at": moment(one["at"])} for one in waiting])
            except (OSError, LanewayError) as error:
                tries += 1
                if tries == 1:
                    log.error("the audit log cannot be written: %s", error)
                if self._ending.is_set() and tries >= _LAST_TRIES:
                    log.error("%d entries of the audit log were not written", len(waiting))
                    return
                self._ending.wait(_PAUSE_SECONDS)
            else:
                tries = 0
                waiting.clear()

    def _take(self, waiting: list[dict[str, Any]]) -> bool:
        """Wait for entries, and a little for more to append together; True once the last has come."""
        entry = self._queue.get()
        if entry is not None and entry["what"] not in _AT_ONCE:
            self._ending.wait(_GATHER_SECONDS)
        while entry is not None:
            waiting.append(entry)
            if self._queue.empty():
                return False
            entry = self._queue.get()
        return True


def package_hash(key: str) -> str | None:
    """The content hash in a unit's key (its beginning); None for code that is in no package."""
    return key.rpartition(":")[2] if key.startswith("package:") else None


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
