"""What a command is told to run: `module:workflow`, `file.py:workflow`, a package folder or a `.lane` file."""

import asyncio
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from laneway._core.errors import PackageError, TargetNotFound
from laneway.authoring import Workflow, spec_of
from laneway.engine.target import FILE_MODULE, Target, from_file, with_fingerprint
from laneway.lanes._guard import kept_environment
from laneway.packages import Package, chosen_workflow, open_package, workflows_of
from laneway.packages._record import files_of
from laneway.packages.discoveries import Circumstances, follows_from_content, is_lasting
from laneway.packages.folder import is_package_folder
from laneway.packages.opening import default_discoveries, installed_archive
from laneway.packages.signing import Trust, trusted
from laneway.ports import Unit
from laneway.settings import settings_from

__all__ = ["Discovers", "discovered", "find_target", "target_in"]

_ARCHIVE = ".lane"
_IMPORT_SECONDS = 30.0


class Discovers(Protocol):
    """What finds the tasks of a package: the engine's fleet of workers."""

    no_interpreters: str
    environment: dict[str, str]

    async def discover(self, unit: Unit, timeout: float | None = None) -> dict[str, Any]:
        """The unit's tasks and workflows as plain data."""
        ...

    def learned(self, unit: Unit, refusal: str) -> None:
        """Know from an earlier discovery why the unit cannot load in an interpreter."""
        ...


async def find_target(text: str, fleet: Discovers, trust: Trust | None = None) -> Target:
    """Find what a user named. Packages are discovered in a worker; files and modules are imported here.

    A file is loaded under a private name with its folder first on `sys.path`, as `python FILE` does; a module with
    the current folder first, as `python -m` does.

    Args:
        text: `module:workflow`, `file.py:workflow`, a package folder, a `.lane` file or an installed `NAME@VERSION`,
            the last three with `#workflow` where they have several. `module` and `file.py` alone name their only
            workflow, `NAME` alone the latest installed version.
        fleet: where packages are discovered.
        trust: whose packages are accepted; by default what the settings say.

    Raises:
        TargetNotFound: there is no such file, module or workflow, or its code cannot be imported.
        PackageError: the package is not in order.
    """
    if not text.strip():
        raise TargetNotFound(target=text, reason="it is empty", advice=_FORMS)
    path, name = _path_and_name(text)
    if path is not None:
        return await target_in(open_package(path, trust=trust or _trust_of_settings()), fleet, name)
    place, _, attribute = text.rpartition(":") if _has_attribute(text) else (text, "", "")
    if place.endswith(".py"):
        return _in_file(text, place, attribute)
    return _in_module(text, place, attribute)


_FORMS = (
    "Give module:workflow, file.py:workflow, a package folder, a .lane file or an installed NAME@VERSION."
)


def _has_attribute(text: str) -> bool:
    head, separator, tail = text.rpartition(":")
    return bool(separator) and len(head) > 1 and not tail.startswith(("/", "\\"))


# ---- packages


def _path_and_name(text: str) -> tuple[Path | None, str | None]:
    """The package a target names, with its workflow; (None, None) if it names no package."""
    whole = Path(text).expanduser()
    if whole.suffix == _ARCHIVE or is_package_folder(whole):
        return whole, None
    head, separator, tail = text.rpartition("#")
    named = Path(head).expanduser()
    if separator and (named.suffix == _ARCHIVE or is_package_folder(named)):
        return named, tail
    installed = installed_archive(head if separator else text)  # a mere folder of that name is no package
    if installed is not None:
        return installed, tail if separator else None
    if whole.is_dir():
        return whole, None
    return (named, tail) if separator else (None, None)


def _trust_of_settings() -> Trust:
    settings = settings_from()
    return trusted(settings.trusted_keys, allow_unsigned=not settings.signed_only)


async def target_in(package: Package, fleet: Discovers, name: str | None = None) -> Target:
    """A workflow of an opened package: the one of that name, or its only one; see `discovered`.

    Raises:
        PackageImportFailed: its code cannot be imported.
        PackageContentInvalid: its tasks are not in order, or there is no such workflow.
    """
    answer = await discovered(package, fleet)
    workflow = chosen_workflow(package, workflows_of(package, answer), name)
    return Target(workflow, package.unit(), f"{package.archive or package.root}#{workflow.name}")


async def discovered(package: Package, fleet: Discovers, *, afresh: bool = False) -> dict[str, Any]:
    """What a worker found in a package's code: now, or earlier in the same content under the same circumstances.

    Args:
        package: what to describe.
        fleet: where it is loaded.
        afresh: load it now, whatever is known.

    Returns:
        What `Fleet.discover` answers, an import that failed included.
    """
    unit = package.unit()
    seen = kept_environment(dict(unit.policy), fleet.environment)
    circumstances = Circumstances(fleet.no_interpreters, seen)
    discoveries = default_discoveries() if follows_from_content(package) else None
    known = None if afresh or discoveries is None else discoveries.find(package, circumstances)
    if known is not None:
        fleet.learned(unit, known["interpreter_refusal"])
        return known
    seconds = float(dict(unit.limits).get("import_seconds", _IMPORT_SECONDS))
    answer = await fleet.discover(unit, timeout=seconds)
    if discoveries is None or not is_lasting(circumstances, answer):
        return answer
    if await asyncio.to_thread(_is_unchanged, package):
        discoveries.keep(package, circumstances, answer)
    return answer


def _is_unchanged(package: Package) -> bool:
    """Whether the files are still those that were opened: if not, what a worker found is about other content."""
    with suppress(PackageError):
        return files_of(package.root, package.label) == package.files
    return False


# ---- files and modules


def _in_file(text: str, place: str, attribute: str) -> Target:
    path = Path(place).expanduser()
    if not path.is_file():
        raise TargetNotFound(target=text, reason=_no_file(path), advice=_near_file(path))
    file = path.resolve()
    private = f"{FILE_MODULE}{sha256(str(file).encode()).hexdigest()[:12]}"
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(private, file)
    if spec is None or spec.loader is None:
        raise TargetNotFound(target=text, reason=f"{path} cannot be loaded as Python", advice=_FORMS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[private]
        raise _import_failed(text, str(path), error) from error
    workflow, label = _workflow_in(text, module, attribute, shown=str(path))
    return from_file(workflow, private, file, label)


def _in_module(text: str, name: str, attribute: str) -> Target:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    if not all(part.isidentifier() for part in name.split(".")):
        path = Path(name).expanduser()
        reason = f"{name} is not a Python file" if path.is_file() else _no_file(path)
        raise TargetNotFound(target=text, reason=reason, advice=_near_file(path))
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise TargetNotFound(
                target=text, reason=f"there is no module {error.name!r} here", advice=_near_module(name)
            ) from error
        raise _import_failed(text, name, error) from error
    except BaseException as error:
        raise _import_failed(text, name, error) from error
    workflow, label = _workflow_in(text, module, attribute, shown=name)
    tasks = tuple(with_fingerprint(one) for one in workflow.spec.tasks)
    return Target(workflow.spec._replace(tasks=tasks), None, f"{name}:{label}")


def _workflow_in(text: str, module: ModuleType, attribute: str, *, shown: str) -> tuple[Workflow, str]:
    """The workflow of that name in a module, or its only one; with the name it goes by."""
    there = {name: value for name, value in vars(module).items() if isinstance(value, Workflow)}
    if not attribute:
        distinct = {id(value) for value in there.values()}
        if len(distinct) == 1:
            name, only = next(iter(there.items()))
            return only, name
        if there:
            listed = ", ".join(f"{shown}:{name}" for name in there)
            reason, advice = f"it has {len(distinct)} workflows", f"Name one of {listed}."
        else:
            reason, advice = f"{shown} has no workflow", "Make one: flow = Workflow('name', [first, second])."
        raise TargetNotFound(target=text, reason=reason, advice=advice)
    named = {value.name: name for name, value in there.items()}
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            if attribute in named:  # the workflow's own name, rather than the variable it is in
                return there[named[attribute]], named[attribute]
            raise TargetNotFound(
                target=text,
                reason=f"{shown} has no {attribute!r}",
                advice=_near_name(attribute, there, vars(module)),
            )
        found = getattr(found, part)
    if isinstance(found, Workflow):
        return found, attribute
    if attribute in named:  # a task, perhaps, whose name the workflow has too
        return there[named[attribute]], named[attribute]
    what = (
        "is a task, not a workflow"
        if spec_of(found) is not None
        else f"is {type(found).__name__}, not a Workflow"
    )
    advice = (
        f"Make a workflow of it: flow = Workflow('name', [{attribute}])."
        if "task" in what
        else _listed(there)
    )
    raise TargetNotFound(target=text, reason=f"{attribute!r} in {shown} {what}", advice=advice)


# ---- saying what is wrong


def _import_failed(text: str, place: str, error: BaseException) -> TargetNotFound:
    """What importing it raised, with the user's part of the traceback."""
    described = traceback.TracebackException.from_exception(error)
    own = (__file__, "<frozen importlib")
    described.stack[:] = [
        one for one in described.stack if not one.filename.startswith(own) and "importlib" not in one.filename
    ]
    listing = "".join(described.format()).rstrip()
    what = "has a syntax error" if isinstance(error, SyntaxError) else "cannot be imported"
    return TargetNotFound(target=text, reason=f"{place} {what}", advice=f"The code says:\n\n{listing}")


def _no_file(path: Path) -> str:
    if path.exists():
        return f"{path} is not a file"
    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r}"
    return f"there is no file {str(path)!r}"


def _near_file(path: Path) -> str:
    if not path.parent.is_dir():
        return _FORMS
    names = [
        one.name for one in path.parent.iterdir() if one.suffix in (".py", _ARCHIVE) or is_package_folder(one)
    ]
    near = get_close_matches(path.name, names, 1)
    return f"Did you mean {str(path.with_name(near[0]))!r}?" if near else _FORMS


def _near_module(name: str) -> str:
    """The nearest module or package beside the program."""
    top = name.partition(".")[0]
    names = [
        one.stem for one in Path.cwd().iterdir() if one.suffix == ".py" or (one / "__init__.py").is_file()
    ]
    near = get_close_matches(top, names, 1)
    folders = [one.name for one in Path.cwd().iterdir() if is_package_folder(one)]
    as_folder = get_close_matches(name, folders, 1)
    if as_folder:
        return f"Did you mean the package folder ./{as_folder[0]}?"
    return (
        f"Did you mean {near[0]!r}?"
        if near
        else f"It is looked for in {str(Path.cwd())!r} and on sys.path. {_FORMS}"
    )


def _near_name(wanted: str, workflows: Mapping[str, Workflow], names: Iterable[str]) -> str:
    near = get_close_matches(wanted, workflows, 1) or get_close_matches(
        wanted, [one for one in names if not one.startswith("__")], 1
    )
    return f"Did you mean {near[0]!r}?" if near else _listed(workflows)


def _listed(workflows: Mapping[str, Workflow]) -> str:
    if not workflows:
        return "There is no Workflow in it."
    return f"Its workflows are {', '.join(sorted(workflows))}."
