"""`TaskMetadata`: what is accepted, what is refused and by which key, and what the record promises."""

import asyncio
import copy
import json
import pickle
from collections import ChainMap
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laneway import aio
from laneway.aio import (
    MetadataError,
    MetadataTypeError,
    MetadataValueError,
    TaskMetadata,
    TaskMetadataFields,
)

FULL = {"operation_name": "send invoice", "correlation_id": "order-42", "priority_hint": 3}


class Urgency(IntEnum):
    HIGH = 9


class Text(str):
    __slots__ = ()


def test_public_names_are_exactly_these() -> None:
    assert aio.__all__ == sorted(aio.__all__)
    assert all(hasattr(aio, name) for name in aio.__all__)
    public = {name for name in vars(aio) if not name.startswith("_")}
    assert public == set(aio.__all__)


@pytest.mark.parametrize("fields", [{}, FULL, *({key: value} for key, value in FULL.items())])
def test_every_subset_of_the_fields_is_accepted(fields: dict[str, Any]) -> None:
    record = TaskMetadata(**fields)
    assert record.as_dict() == fields
    assert TaskMetadata.from_mapping(fields) == record


@pytest.mark.parametrize("mapping", [MappingProxyType(FULL), ChainMap(FULL)])
def test_any_mapping_is_accepted(mapping: Any) -> None:
    assert TaskMetadata.from_mapping(mapping) == TaskMetadata(**FULL)  # type: ignore[arg-type]


def test_subclasses_of_str_and_int_are_accepted() -> None:
    record = TaskMetadata(operation_name=Text("a"), priority_hint=Urgency.HIGH)
    assert (record.operation_name, record.priority_hint) == ("a", 9)


@pytest.mark.parametrize(
    ("fields", "error", "key"),
    [
        ({"operation_name": ""}, MetadataValueError, "operation_name"),
        ({"operation_name": " \t\n"}, MetadataValueError, "operation_name"),
        ({"operation_name": Text("")}, MetadataValueError, "operation_name"),
        ({"correlation_id": ""}, MetadataValueError, "correlation_id"),
        ({"operation_name": 7}, MetadataTypeError, "operation_name"),
        ({"operation_name": b"bytes"}, MetadataTypeError, "operation_name"),
        ({"operation_name": None}, MetadataTypeError, "operation_name"),
        ({"correlation_id": ["a"]}, MetadataTypeError, "correlation_id"),
        ({"correlation_id": None}, MetadataTypeError, "correlation_id"),
        ({"priority_hint": True}, MetadataTypeError, "priority_hint"),
        ({"priority_hint": False}, MetadataTypeError, "priority_hint"),
        ({"priority_hint": 1.0}, MetadataTypeError, "priority_hint"),
        ({"priority_hint": "1"}, MetadataTypeError, "priority_hint"),
        ({"priority_hint": None}, MetadataTypeError, "priority_hint"),
        ({"priority": 1}, MetadataTypeError, "priority"),
        ({"Operation_Name": "a"}, MetadataTypeError, "Operation_Name"),
        ({**FULL, "tenant": "a"}, MetadataTypeError, "tenant"),
        ({3: "a"}, MetadataTypeError, "3"),
    ],
)
def test_bad_fields_are_refused_with_the_key_named(
    fields: dict[Any, Any], error: type[MetadataError], key: str
) -> None:
    with pytest.raises(error) as caught:
        TaskMetadata.from_mapping(fields)
    assert caught.value.key == key
    assert repr(key) in str(caught.value) or key == "3"
    assert isinstance(caught.value, TypeError if error is MetadataTypeError else ValueError)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("operation", "operation_name"), ("corelation_id", "correlation_id"), ("priority", "priority_hint")],
)
def test_an_unknown_key_comes_with_the_nearest_known_one(key: str, nearest: str) -> None:
    with pytest.raises(MetadataTypeError, match=f"did you mean '{nearest}'"):
        TaskMetadata.from_mapping({key: "a"})


@pytest.mark.parametrize("wrong", [3, "text", ["operation_name"], [("operation_name", "a")], object()])
def test_what_is_no_mapping_is_refused(wrong: Any) -> None:
    with pytest.raises(MetadataTypeError, match="mapping"):
        TaskMetadata.from_mapping(wrong)


def test_the_constructor_checks_as_a_mapping_is_checked() -> None:
    with pytest.raises(MetadataTypeError, match="priority_hint"):
        TaskMetadata(priority_hint=True)
    with pytest.raises(MetadataValueError, match="operation_name"):
        TaskMetadata(operation_name="")
    with pytest.raises(TypeError, match="operation"):
        TaskMetadata(operation="a")  # type: ignore[call-arg]


def test_a_record_cannot_be_changed() -> None:
    record = TaskMetadata(operation_name="a")
    with pytest.raises(AttributeError, match="immutable"):
        record.operation_name = "b"
    with pytest.raises(AttributeError, match="immutable"):
        del record.operation_name
    with pytest.raises(AttributeError):
        record.tenant = "b"
    assert record == TaskMetadata(operation_name="a")


def test_equal_records_are_equal_and_hash_alike() -> None:
    one, other = TaskMetadata.from_mapping(FULL), TaskMetadata.from_mapping(FULL)
    assert one == other
    assert hash(one) == hash(other)
    assert one != TaskMetadata()
    assert one != FULL
    assert eval(repr(one), {"TaskMetadata": TaskMetadata}) == one


def test_copy_replace_makes_a_checked_copy() -> None:
    record = TaskMetadata.from_mapping(FULL)
    assert copy.replace(record, operation_name="b") == TaskMetadata(
        operation_name="b", correlation_id="order-42", priority_hint=3
    )
    assert copy.replace(record, priority_hint=None).as_dict() == {
        "operation_name": "send invoice",
        "correlation_id": "order-42",
    }
    with pytest.raises(MetadataValueError):
        copy.replace(record, operation_name="")
    with pytest.raises(MetadataTypeError, match="operation_name"):
        copy.replace(record, operation="b")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "operation_name": st.text(min_size=1).filter(lambda text: not text.isspace()),
            "correlation_id": st.text(min_size=1).filter(lambda text: not text.isspace()),
            "priority_hint": st.integers(),
        },
    )
)
def test_records_survive_pickle_copy_and_json(fields: dict[str, Any]) -> None:
    record = TaskMetadata.from_mapping(fields)
    assert pickle.loads(pickle.dumps(record)) == record
    assert copy.deepcopy(record) == record
    assert TaskMetadata.from_mapping(json.loads(json.dumps(record.as_dict()))) == record
    assert record.task_name().isprintable()


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, ""),
        ({"priority_hint": 1}, ""),
        ({"operation_name": "send"}, "send"),
        ({"correlation_id": "42"}, "[42]"),
        ({"operation_name": "send", "correlation_id": "42"}, "send [42]"),
        ({"operation_name": "a\nb\x1b[31m", "correlation_id": "ü"}, r"a\nb\x1b[31m [ü]"),
    ],
)
def test_the_task_name_folds_in_what_matters(fields: dict[str, Any], name: str) -> None:
    record = TaskMetadata.from_mapping(fields)
    assert record.task_name() == name
    assert record.task_name() == name


async def test_a_bool_is_refused_however_often_the_equal_number_was_taken() -> None:
    for _ in range(3):
        task = aio.create_task(asyncio.sleep(0), metadata={"priority_hint": 1, "correlation_id": "c"})
        await task
        with pytest.raises(MetadataTypeError, match="priority_hint"):
            aio.create_task(asyncio.sleep(0), metadata={"priority_hint": True, "correlation_id": "c"})


async def test_equal_mappings_name_their_tasks_alike() -> None:
    fields: TaskMetadataFields = {"operation_name": "send", "correlation_id": "order-1"}
    with aio.install_task_factory():
        names = [aio.create_task(asyncio.sleep(0), metadata={**fields}).get_name() for _ in range(2)]
        await asyncio.sleep(0)
    assert names == ["send [order-1]"] * 2
