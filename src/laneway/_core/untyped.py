"""Names for annotations in what every worker imports: a fresh interpreter needs 7 ms for `typing` and `collections`.

Checkers see the real names; at run time annotations stay readable, and nothing else is asked of these.
"""

__all__ = [
    "Any",
    "Callable",
    "Coroutine",
    "Iterable",
    "Iterator",
    "Mapping",
    "Sequence",
    "TypedDict",
    "cast",
    "dataclass_transform",
    "overload",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
    from typing import Any, TypedDict, cast, dataclass_transform, overload
else:
    from _collections_abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence

    Any = object
    TypedDict = dict

    def cast(_kind, value):
        """The value, as it is."""
        return value

    def overload(function):
        """The function, which the next definition of its name replaces."""
        return function

    def dataclass_transform(**_options):
        """A decorator that only tells checkers something."""
        return lambda kind: kind
