"""Frozen records for what every worker imports, where `NamedTuple` and `dataclass` would each cost 5 ms and more."""

from importlib import import_module

from laneway._core.untyped import Any, dataclass_transform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

__all__ = ["Record"]


class _Signature:
    """What `inspect.signature` shows of a record's class; made when somebody asks."""

    def __get__(self, instance: object, kind: type[Record]) -> Any:
        inspect = import_module("inspect")
        place, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        return inspect.Signature(
            [inspect.Parameter(name, place, default=getattr(kind, name, empty)) for name in kind._fields]
        )


@dataclass_transform(frozen_default=True)
class Record:
    """Fields by annotation, in order, with defaults; equal, hashable and copyable by value.

    ```python
    class Point(Record):
        x: int
        y: int = 0
    ```
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    __signature__ = _Signature()

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)

    def __init__(self, *values: Any, **named: Any) -> None:
        kind, fields = type(self), self._fields
        if len(values) > len(fields):
            raise TypeError(f"{kind.__name__} takes {len(fields)} values, not {len(values)}")
        given = dict(zip(fields, values, strict=False))
        for name, value in named.items():
            if name not in fields or name in given:
                what = "twice the" if name in given else "no"
                raise TypeError(f"{kind.__name__} has {what} field {name!r}")
            given[name] = value
        missing = [name for name in fields if name not in given and not hasattr(kind, name)]
        if missing:
            raise TypeError(f"{kind.__name__} needs {', '.join(missing)}")
        for name in fields:
            object.__setattr__(self, name, given[name] if name in given else getattr(kind, name))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: make another one with _replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen")

    def _asdict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._fields}

    def _replace(self, **changes: Any) -> Self:
        return type(self)(**{**self._asdict(), **changes})

    __replace__ = _replace

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._asdict() == other._asdict()

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._fields))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({shown})"
