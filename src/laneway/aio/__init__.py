"""Tasks with metadata on asyncio, usable without the rest of Laneway; the standard library only."""

from laneway.aio._current import current_metadata, derived_metadata, task_metadata
from laneway.aio._install import TaskFactoryInstallation, install_task_factory
from laneway.aio._metadata import (
    MetadataError,
    MetadataTypeError,
    MetadataValueError,
    TaskMetadata,
    TaskMetadataFields,
)
from laneway.aio._observers import TaskObserver, TaskOutcome
from laneway.aio._tasks import TaskGroup, create_task

__all__ = [
    "MetadataError",
    "MetadataTypeError",
    "MetadataValueError",
    "TaskFactoryInstallation",
    "TaskGroup",
    "TaskMetadata",
    "TaskMetadataFields",
    "TaskObserver",
    "TaskOutcome",
    "create_task",
    "current_metadata",
    "derived_metadata",
    "install_task_factory",
    "task_metadata",
]
