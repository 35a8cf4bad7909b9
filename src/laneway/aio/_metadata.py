"""What a task says about itself: `TaskMetadata`, how it is checked, and the errors of a refusal."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NoReturn, Self, TypedDict, cast

FIELDS = ("operation_name", "correlation_id", "priority_hint")


class MetadataError(Exception):
    """Metadata was refused; `key` is the field it was refused for (empty where no field is to blame)."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class MetadataTypeError(MetadataError, TypeError):
    """A key that does not exist, or a value of the wrong type."""


class MetadataValueError(MetadataError, ValueError):
    """A value of the right type that says nothing: an empty or blank text."""


class TaskMetadataFields(TypedDict, total=False):
    """The mapping that is accepted wherever a `TaskMetadata` is."""

    operation_name: str
    correlation_id: str
    priority_hint: int


class TaskMetadata:
    """What a task is doing and for whom: an immutable, checked record.

    Attributes:
        operation_name: what the task does, for people ("fetch invoice"); not blank.
        correlation_id: what it belongs to (a request, an order, a run); not blank.
        priority_hint: how urgent its creator thinks it is, for observers. It never changes scheduling.

    All three are optional and are None where not given. A mapping with the same keys is accepted
    wherever a record is; a record is checked once, when it is built, and costs nothing afterwards.

    Raises:
        MetadataTypeError: a value of the wrong type (a bool is not a priority).
        MetadataValueError: an empty or blank text.
    """

    __slots__ = ("cached_task_name", "correlation_id", "operation_name", "priority_hint")
    __match_args__ = ("operation_name", "correlation_id", "priority_hint")

    operation_name: str | None
    correlation_id: str | None
    priority_hint: int | None
    cached_task_name: str | None

    def __init__(
        self,
        *,
        operation_name: str | None = None,
        correlation_id: str | None = None,
        priority_hint: int | None = None,
    ) -> None:
        # Written out, with the slots set directly: a record is built for every attempt of an engine.
        if operation_name is not None and (
            type(operation_name) is not str or not operation_name or operation_name.isspace()
        ):
            _check_text("operation_name", operation_name)
        if correlation_id is not None and (
            type(correlation_id) is not str or not correlation_id or correlation_id.isspace()
        ):
            _check_text("correlation_id", correlation_id)
        if priority_hint is not None and type(priority_hint) is not int:
            _check_priority(priority_hint)
        _set_operation_name(self, operation_name)
        _set_correlation_id(self, correlation_id)
        _set_priority_hint(self, priority_hint)
        _set_task_name(self, None)

    @classmethod
    def from_mapping(cls, fields: Mapping[str, object]) -> Self:
        """Build a record from a mapping, such as one that came with an order from elsewhere.

        Raises:
            MetadataTypeError: not a mapping, an unknown key (with the nearest known one), or a wrong type.
            MetadataValueError: an empty or blank text.
        """
        _check_mapping(fields)
        for key, value in fields.items():
            if value is None or key not in FIELDS:
                _refuse_item(key, value)
        return cls(**cast("dict[str, Any]", fields))

    def as_dict(self) -> TaskMetadataFields:
        """The fields that are set, as plain JSON-ready data; `from_mapping` reads it back."""
        fields: TaskMetadataFields = {}
        if self.operation_name is not None:
            fields["operation_name"] = self.operation_name
        if self.correlation_id is not None:
            fields["correlation_id"] = self.correlation_id
        if self.priority_hint is not None:
            fields["priority_hint"] = self.priority_hint
        return fields

    def task_name(self) -> str:
        """The name a task gets when its creator gave none: `operation [correlation]`; may be empty.

        Python's own tools (`python -m asyncio ps` and `pstree`) show only the name of a task, so it
        carries what matters. Characters that do not print are escaped.
        """
        name = self.cached_task_name
        if name is None:
            name = self.operation_name or ""
            if self.correlation_id is not None:
                name = f"{name} [{self.correlation_id}]" if name else f"[{self.correlation_id}]"
            if not name.isprintable():
                name = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
            _set_task_name(self, name)
        return name

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"TaskMetadata is immutable; copy.replace(metadata, {name}=...) makes a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("TaskMetadata is immutable")

    def __replace__(self, **changes: Any) -> Self:
        for key, value in changes.items():
            if key not in FIELDS:
                _refuse_item(key, value)
        fields = {key: getattr(self, key) for key in FIELDS}
        return type(self)(**{**fields, **changes})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskMetadata):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"TaskMetadata({', '.join(f'{key}={value!r}' for key, value in self.as_dict().items())})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).from_mapping, (self.as_dict(),)

    def _key(self) -> tuple[str | None, str | None, int | None]:
        return self.operation_name, self.correlation_id, self.priority_hint


_set_operation_name = TaskMetadata.__dict__["operation_name"].__set__
_set_correlation_id = TaskMetadata.__dict__["correlation_id"].__set__
_set_priority_hint = TaskMetadata.__dict__["priority_hint"].__set__
_set_task_name = TaskMetadata.__dict__["cached_task_name"].__set__


def checked(metadata: TaskMetadata | Mapping[str, object]) -> TaskMetadata:
    """`metadata` as a record: as it is if it is one already, else built from a mapping."""
    if isinstance(metadata, TaskMetadata):
        return metadata
    if type(cast("object", metadata)) is dict:
        fields = metadata
        operation, correlation = fields.get("operation_name"), fields.get("correlation_id")
        priority = fields.get("priority_hint")
        given = (operation is not None) + (correlation is not None) + (priority is not None)
        if given == len(fields):
            try:
                return _checked(operation, correlation, priority)
            except MetadataError, TypeError:  # refused, or not hashable: told below, in full
                pass
    return TaskMetadata.from_mapping(metadata)


@lru_cache(maxsize=512, typed=True)
def _checked(operation: Any, correlation: Any, priority: Any) -> TaskMetadata:
    """Records are immutable, and programs that give mappings give the same few again and again."""
    return TaskMetadata(operation_name=operation, correlation_id=correlation, priority_hint=priority)


def _check_mapping(fields: object) -> None:
    if type(fields) is not dict and not isinstance(fields, Mapping):
        raise MetadataTypeError(
            f"metadata must be a TaskMetadata or a mapping with the keys {', '.join(FIELDS)}, "
            f"not {type(fields).__name__}"
        )


def _check_text(key: str, value: object) -> None:
    if not isinstance(value, str):
        raise MetadataTypeError(f"metadata {key!r} must be a str, not {type(value).__name__}", key=key)
    if not value or value.isspace():
        raise MetadataValueError(f"metadata {key!r} must not be empty or blank", key=key)


def _check_priority(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise MetadataTypeError(
            f"metadata 'priority_hint' must be an int, not {type(value).__name__}", key="priority_hint"
        )


def _refuse_item(key: object, value: object) -> NoReturn:
    if key in FIELDS:
        wanted = "an int" if key == "priority_hint" else "a str"
        message = f"metadata {key!r} must be {wanted}, not {type(value).__name__}; leave the key out"
    else:
        near = get_close_matches(key, FIELDS, n=1, cutoff=0.5) if isinstance(key, str) else []
        hint = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(FIELDS)}"
        message = f"metadata has no key {key!r}; {hint}"
    raise MetadataTypeError(message, key=str(key))
