"""What is to be checked: an environment, names, a requirements file, a project, a lock file or a package's folder."""

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from laneway.compat.errors import TargetUnreadable

__all__ = ["Kind", "Wanted", "wanted_from"]

type Kind = Literal["environment", "names", "requirements", "project", "lock", "package"]

_FORMS = (
    "Give nothing (this environment), names such as numpy or 'numpy>=2', a requirements file, pyproject.toml, "
    "pylock.toml, uv.lock, a package folder or a .lane file"
)


class Wanted(msgspec.Struct, frozen=True):
    """What the user asked for."""

    kind: Kind
    label: str
    file: str = ""
    requirements: tuple[str, ...] = ()
    """Direct requirements as lines, as far as they can be read without resolving."""
    options: tuple[str, ...] = ()
    """For uv: extras and groups."""
    vendor: str = ""
    source: tuple[str, ...] = ()
    """The project's own code, for the review."""
    entry: str = ""

    @property
    def direct(self) -> frozenset[str]:
        """Names of the direct requirements; empty where that is not known."""
        return frozenset(_names(self.requirements))


def wanted_from(targets: Sequence[str], *, extras: Sequence[str] = (), groups: Sequence[str] = ()) -> Wanted:
    """Read what a command was told. Packages are opened by the caller, see `Wanted.kind`.

    Raises:
        TargetUnreadable: there is no such file, or it is not what its name says.
    """
    if not targets:
        return Wanted("environment", "this environment")
    if len(targets) == 1:
        path = Path(targets[0]).expanduser()
        if path.suffix == ".lane" or (path / "laneway.toml").is_file():
            return Wanted("package", str(targets[0]), file=str(path))
        if path.is_dir() and (path / "pyproject.toml").is_file():
            path = path / "pyproject.toml"
        if path.is_file():
            return _file(path, extras, groups)
        if path.is_dir():
            raise TargetUnreadable(
                target=targets[0], reason="a folder without laneway.toml or pyproject.toml", advice=_FORMS
            )
    return Wanted("names", " ".join(targets), requirements=tuple(_requirement(one) for one in targets))


def _requirement(text: str) -> str:
    if "@" not in text and ("/" in text or text.endswith((".txt", ".toml", ".lock", ".in"))):
        raise TargetUnreadable(target=text, reason="there is no such file", advice=_FORMS)
    try:
        Requirement(text)
    except InvalidRequirement as error:
        reason = f"neither a file nor a requirement ({error})"
        raise TargetUnreadable(target=text, reason=reason, advice=_FORMS) from error
    return text


def _file(path: Path, extras: Sequence[str], groups: Sequence[str]) -> Wanted:
    try:
        text = path.read_text(encoding="utf-8")
        if path.name == "pyproject.toml":
            return _project(path, tomllib.loads(text), extras, groups)
        if path.name == "uv.lock" or re.fullmatch(r"pylock(\.[^.]+)?\.toml", path.name):
            return _lock(path, tomllib.loads(text), extras, groups)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TargetUnreadable(target=str(path), reason=str(error), advice=_FORMS) from error
    if path.suffix not in (".txt", ".in"):
        raise TargetUnreadable(target=str(path), reason="not a kind of file that is known", advice=_FORMS)
    return Wanted("requirements", path.name, str(path.absolute()), tuple(_lines(path, text)))


def _lines(path: Path, text: str) -> Iterable[str]:
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        bare = line.partition(" #")[0].partition(" --hash")[0].strip()
        if not bare or bare.startswith("#"):
            continue
        option, _, rest = bare.partition(" ")
        if option in ("-r", "--requirement"):
            other = path.parent / rest.strip()
            if other.is_file():
                yield from _lines(other, other.read_text(encoding="utf-8"))
            continue
        if not bare.startswith("-"):
            yield bare


def _project(path: Path, data: dict[str, Any], extras: Sequence[str], groups: Sequence[str]) -> Wanted:
    declared = _table(data, "project")
    optional, available = _table(declared, "optional-dependencies"), _table(data, "dependency-groups")
    for asked, there, what in ((extras, optional, "extra"), (groups, available, "group")):
        missing = sorted(set(asked) - set(there))
        if missing:
            has = ", ".join(sorted(there)) or "none"
            raise TargetUnreadable(
                target=str(path), reason=f"it has no {what} {missing[0]!r}", advice=f"It has {has}"
            )
    lines = [str(one) for one in declared.get("dependencies", [])]
    for extra in extras:
        lines += [str(one) for one in optional[extra]]
    for group in groups:
        lines += _group(group, available, ())
    own = canonicalize_name(str(declared.get("name", "")))
    lines = list(dict.fromkeys(_without_itself(lines, own, optional, ())))
    options = [part for extra in extras for part in ("--extra", extra)]
    root = path.parent
    source = root / "src" if (root / "src").is_dir() else root
    label = f"{declared.get('name', root.absolute().name)} ({path.name})"
    return Wanted("project", label, str(path.absolute()), tuple(lines), tuple(options), source=(str(source),))


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _without_itself(
    lines: Iterable[str], own: str, optional: dict[str, Any], seen: tuple[str, ...]
) -> Iterable[str]:
    """Requirements with those on extras of the project itself (`name[extra]`) put in their place."""
    for line in lines:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            yield line
            continue
        if canonicalize_name(wanted.name) != own:
            yield line
            continue
        for extra in sorted(wanted.extras - set(seen)):
            yield from _without_itself(map(str, optional.get(extra, [])), own, optional, (*seen, extra))


def _group(name: str, groups: dict[str, Any], seen: tuple[str, ...]) -> list[str]:
    """The requirements of a dependency group with the groups it includes (PEP 735)."""
    if name in seen or name not in groups:
        return []
    found: list[str] = []
    for one in groups[name]:
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict) and "include-group" in one:
            found += _group(str(cast("dict[str, Any]", one)["include-group"]), groups, (*seen, name))
    return found


def _lock(path: Path, data: dict[str, Any], extras: Sequence[str], groups: Sequence[str]) -> Wanted:
    packages: Any = data.get("packages", data.get("package", []))
    is_uv = path.name == "uv.lock"
    lines: list[str] = []
    for one in cast("list[dict[str, Any]]", packages) if isinstance(packages, list) else []:
        source = _table(one, "source")
        local = any(key in source for key in ("editable", "virtual", "directory"))
        if "name" in one and not (is_uv and local):
            version = one.get("version")
            lines.append(f"{one['name']}=={version}" if version else str(one["name"]))
    options = [part for extra in extras for part in ("--extra", extra)]
    options += [part for group in groups for part in ("--group", group)]
    return Wanted("lock", path.name, str(path.absolute()), tuple(lines), tuple(options))


def _names(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield canonicalize_name(wanted.name)
