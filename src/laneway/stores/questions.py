"""The questions every store answers through `Store.read`, with their arguments."""

from typing import Any

__all__ = ["QUESTIONS", "checked"]

QUESTIONS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "runs": (
        frozenset(),
        frozenset({"workflow", "status", "key", "tags", "parent", "since", "search", "before", "limit"}),
    ),
    "run": (frozenset({"run"}), frozenset()),
    "steps": (frozenset({"run"}), frozenset()),
    "saved": (frozenset({"run"}), frozenset()),
    "signals": (frozenset({"run"}), frozenset()),
    "events": (frozenset(), frozenset({"run", "after", "limit"})),
    "counts": (frozenset(), frozenset()),
    "sizes": (frozenset(), frozenset()),
    "ages": (frozenset(), frozenset()),
    "engines": (frozenset(), frozenset()),
    "documents": (frozenset({"kind"}), frozenset({"name"})),
    "agenda": (frozenset({"workflows"}), frozenset()),
}
"""Per question the arguments it needs and those it may have.

runs: the latest runs first; `before` is a run id to go on from, `tags` a mapping all of which must match, `since` an
epoch second (by the moment in the run's id), `search` a text in the workflow's name, the key, the tags, the initial
context or the error, upper case or lower.
run, steps, saved, signals: of the run with that id. `saved` answers a `SavedRun` record under `saved`.
events: with a `seq` above `after`, each an `Event` under `event`.
counts: runs by status. sizes: rows by table, bytes of the file and of artifacts, number of the schema.
ages: epoch seconds (or None) of the `oldest` run's start, and of the `oldest_end` among runs that a sweep may take.
engines: who is registered, with the seconds their lease still has.
documents: what `Store.keep` keeps of that kind: `name`, `version`, `body`.
agenda: when to look at the runs of those workflows again: `due` (epoch seconds of the next suspended run), `free`
(whether one waits for an engine now) and `leases` (seconds until the first lease of another engine that drives some
ends; 0 for one that is gone).
"""


def checked(query: str, arguments: dict[str, Any]) -> None:
    """Return if the question exists and has the arguments it needs.

    Raises:
        TypeError: it does not, or an argument is missing or unknown.
    """
    found = QUESTIONS.get(query)
    if found is None:
        raise TypeError(f"there is no question {query!r}; there are {', '.join(sorted(QUESTIONS))}")
    needed, optional = found
    missing = needed - arguments.keys()
    unknown = arguments.keys() - needed - optional
    if missing or unknown:
        problem = f"needs {sorted(missing)}" if missing else f"does not take {sorted(unknown)}"
        raise TypeError(f"question {query!r} {problem}")
