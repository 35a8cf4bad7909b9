"""What `laneway bench lanes --save` found out, kept beside the capability facts. Cheap to import: every engine does.

A result is kept for the content of the package (for tasks that are in none: of the task's source file), the task, the
interpreter's build and the kind of machine. Whatever changes one of them makes the result unknown, not wrong.
"""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from laneway._core.lane_times import TaskTimes
from laneway._core.model import TaskSpec
from laneway.compat._folder import cache_folder, known_folders
from laneway.ports import Unit

__all__ = ["MeasuredTimes", "build_label", "content_of", "cpu_label", "file_content"]

_FORMAT = 1
_FOLDER = "lanes"
_HEAD_BYTES = 4096


class MeasuredTimes:
    """Results by task. Damaged ones count as missing; writers never see each other's halves.

    Args:
        folder: where they are; by default in this user's cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._given = folder

    def look(self, spec: TaskSpec, unit: Unit) -> TaskTimes | None:
        """What is known of a task on this build and machine. Costs a look for the folder where nothing was kept."""
        for folder in self._folders():
            file = folder / f"{_key(spec, unit)}.json"
            with suppress(OSError, msgspec.DecodeError):
                return msgspec.json.decode(file.read_bytes(), type=TaskTimes)
        return None

    def keep(self, spec: TaskSpec, unit: Unit, times: TaskTimes) -> Path:
        """Keep a result, in place of an earlier one.

        Raises:
            OSError: it cannot be written.
        """
        folder = self._given or cache_folder() / _FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / f"{_key(spec, unit)}.json"
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(times))
        os.replace(temporary, file)
        return file

    def clear(self) -> int:
        """Forget all results, those for other builds and machines too; says how many there were."""
        files = [file for folder in self._folders() for file in folder.glob("*.json")]
        for file in files:
            file.unlink(missing_ok=True)
        return len(files)

    def all(self) -> list[TaskTimes]:
        """Everything that is kept for this interpreter's build, newest first."""
        found: list[TaskTimes] = []
        for file in (file for folder in self._folders() for file in folder.glob("*.json")):
            with suppress(OSError, msgspec.DecodeError):
                found.append(msgspec.json.decode(file.read_bytes(), type=TaskTimes))
        mine = [one for one in found if one.python == build_label()]
        return sorted(mine, key=lambda one: one.made, reverse=True)

    def _folders(self) -> Iterable[Path]:
        places = [self._given] if self._given is not None else [one / _FOLDER for one in known_folders()]
        return [one for one in places if one.is_dir()]


def build_label() -> str:
    """This interpreter, as far as it decides how fast code runs: version, build, GIL, JIT."""
    gil = "" if getattr(sys, "_is_gil_enabled", lambda: True)() else ", without the GIL"
    jit: Any = getattr(sys, "_jit", None)
    return f"{sys.implementation.name} {sys.version.partition('[')[0].strip()}{gil}" + (
        ", with the JIT" if jit is not None and jit.is_enabled() else ""
    )


@cache
def cpu_label() -> str:
    """The processor's model, as the system names it."""
    with suppress(OSError), open("/proc/cpuinfo", "rb") as file:
        for line in file.read(_HEAD_BYTES).decode(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "cpu model"):
                return value.strip()
    return os.uname().machine


def _key(spec: TaskSpec, unit: Unit) -> str:
    machine = f"{sys.platform} {os.uname().machine} {cpu_label()} {os.process_cpu_count()}"
    parts = (str(_FORMAT), content_of(spec, unit), spec.id, sys.version, build_label(), machine)
    return sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:40]


def content_of(spec: TaskSpec, unit: Unit) -> str:
    """What stands for the task's code: the package's hash, which is in its key, else that of the source file."""
    if unit.kind == "package":
        return unit.key
    name = spec.reference.partition(":")[2]
    with suppress(OSError):
        return f"{name} {file_content(spec.file)}"
    return f"{unit.key} {name} {spec.fingerprint}"


def file_content(path: str) -> str:
    """The hash of a source file.

    Raises:
        OSError: it cannot be read.
    """
    return sha256(Path(path).read_bytes()).hexdigest()
