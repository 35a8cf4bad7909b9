"""The rules of the source review: id, severity, what is wrong, and why."""

from typing import NamedTuple

__all__ = ["RULES", "Finding", "Rule", "rule_of"]


class Rule(NamedTuple):
    """One thing the review looks for. `id` is stable: it stands in ignore comments and baselines."""

    id: str
    name: str
    severity: str
    summary: str
    explanation: str


class Finding(NamedTuple):
    """One place where a rule applies; `line` counts from 1, `column` from 0 as in `ast`."""

    rule: str
    severity: str
    path: str
    line: int
    column: int
    message: str
    fix: str

    def as_json(self) -> dict[str, str | int]:
        """The finding as a JSON object."""
        return self._asdict()


_RULES = (
    Rule(
        "PY100",
        "does-not-parse",
        "error",
        "The file is not Python that this interpreter can read.",
        "A syntax error, an encoding that does not fit, null bytes, or nesting beyond the parser's limits.",
    ),
    Rule(
        "PY101",
        "removed-module",
        "error",
        "Imports a module that Python 3.14 no longer has.",
        "PEP 594 and the removals of 3.12 took these modules out; the import fails at run time.",
    ),
    Rule(
        "PY102",
        "removed-name",
        "error",
        "Uses a function, class or attribute that Python 3.14 no longer has.",
        "The name was deprecated for several releases and is gone: AttributeError or ImportError at run time.",
    ),
    Rule(
        "PY103",
        "removed-in-3.15",
        "warning",
        "Uses something that works on 3.14 and is gone in 3.15.",
        "Python 3.15 removed it after a deprecation period.",
    ),
    Rule(
        "PY104",
        "removal-scheduled",
        "warning",
        "Uses something whose removal has a date after 3.15.",
        "It warns today and fails in the release named in the message.",
    ),
    Rule(
        "PY105",
        "deprecated",
        "note",
        "Uses something deprecated without a date of removal.",
        "It still works; a better way exists and later releases may take this one away.",
    ),
    Rule(
        "PY106",
        "removed-test-method",
        "error",
        "Calls a unittest method alias that Python 3.12 removed.",
        "The old names of TestCase methods are gone; the test fails with AttributeError.",
    ),
    Rule(
        "PY107",
        "changed-arguments",
        "warning",
        "Calls a function with arguments it no longer takes, or soon will not.",
        "The function stays; this way of calling it goes in the release named in the message.",
    ),
    Rule(
        "PY108",
        "leaves-finally",
        "warning",
        "`return`, `break` or `continue` leaves a `finally` block.",
        "It swallows the exception in flight. PEP 765: a SyntaxWarning since 3.14, an error later.",
    ),
    Rule(
        "PY109",
        "future-annotations",
        "note",
        "`from __future__ import annotations` is no longer needed.",
        "Annotations are evaluated lazily since 3.14 (PEP 649, PEP 749); the import keeps the old string form and will "
        "be deprecated once 3.13 is out of support. Off by default: it is needed while older versions are supported.",
    ),
    Rule(
        "PY110",
        "loop-not-running",
        "warning",
        "`asyncio.get_event_loop()` in code that runs without a loop.",
        "Since 3.14 it raises RuntimeError when the thread has no current loop; it used to make one. Reported at "
        "module level and where the result is driven at once by `run_until_complete` or `run_forever`.",
    ),
    Rule(
        "PY111",
        "fork-assumed",
        "warning",
        "Starts processes in a way that only works with fork.",
        "The default start method on Linux is forkserver since 3.14: the target is pickled, so lambdas and nested "
        "functions fail.",
    ),
    Rule(
        "PY112",
        "annotations-in-namespace",
        "warning",
        "Reads `__annotations__` out of a class namespace.",
        "Since 3.14 (PEP 649) the namespace holds `__annotate_func__` instead, so the lookup finds nothing.",
    ),
    Rule(
        "PY113",
        "truth-of-notimplemented",
        "error",
        "Uses `NotImplemented` as a truth value.",
        "TypeError since 3.14. Also when `not self.__eq__(other)` meets an `__eq__` that may return NotImplemented.",
    ),
    Rule(
        "PY114",
        "inverted-bool",
        "warning",
        "`~` on a truth value.",
        "Deprecated since 3.12, an error in 3.16: `~True` is -2, which is true.",
    ),
    Rule(
        "PY115",
        "invalid-escape",
        "note",
        "A backslash that is not part of an escape sequence.",
        "A SyntaxWarning since 3.12, an error later. Use a raw string or double the backslash.",
    ),
    Rule(
        "FT201",
        "shared-mutable-state",
        "note",
        "A module-level list, dict or set is changed by functions without a lock.",
        "Each single change is safe on the free-threaded build, yet the object is shared by all threads: readers "
        "see it half built, iteration may fail. One finding per object, at its definition.",
    ),
    Rule(
        "FT202",
        "lazy-global",
        "warning",
        "A global is created on first use without a lock.",
        "Two threads may both find it missing: the work is done twice and they may hold different objects.",
    ),
    Rule(
        "FT203",
        "global-counter",
        "warning",
        "A global is read, changed and written back without a lock.",
        "`x += 1` is a read, an addition and a write; updates of other threads in between are lost.",
    ),
    Rule(
        "FT204",
        "check-then-act",
        "warning",
        "A shared dictionary is checked and then filled without a lock.",
        "Another thread may act between the check and the store: work is done twice and one result replaces the other.",
    ),
    Rule(
        "FT205",
        "read-modify-write",
        "warning",
        "An element of a shared container is read, changed and written back without a lock.",
        "`COUNTS[k] += 1` is a read and a write: updates of other threads in between are lost.",
    ),
    Rule(
        "FT206",
        "attribute-outside-lock",
        "warning",
        "An attribute that threads share is changed by `+=` outside the lock.",
        "Reported in classes that are threads, start threads on their own methods, or guard the same attribute with a "
        "lock elsewhere.",
    ),
    Rule(
        "FT207",
        "shared-class-attribute",
        "warning",
        "A mutable class attribute is checked and changed through instances without a lock.",
        "All instances, hence all threads, share it, and the change takes more than one step.",
    ),
    Rule(
        "FT208",
        "iterates-shared",
        "warning",
        "Iterates over a shared dict or set that other functions change without a lock.",
        "Another thread that changes it meanwhile makes the loop raise RuntimeError or skip elements.",
    ),
)

RULES: dict[str, Rule] = {rule.id: rule for rule in _RULES}
"""All rules by id."""

_BY_NAME = {rule.name: rule for rule in _RULES}


def rule_of(text: str) -> Rule | None:
    """The rule with this id or name, in any case."""
    return RULES.get(text.upper()) or _BY_NAME.get(text.lower())
