"""From what is wanted to installed distributions: as they are installed, or in a throw-away folder filled by uv."""

import shutil
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from laneway.compat._uv import Uv
from laneway.compat.distributions import Installed, installed_in
from laneway.compat.environments import Environment
from laneway.compat.errors import ResolutionFailed
from laneway.compat.wanted import Wanted

__all__ = ["Missing", "Provided", "provide"]

_TOLD_LINES = 10
_NO_UV = "Install uv (`pip install uv`), give --uv PATH, or use --offline to check what is installed"


class Missing(msgspec.Struct, frozen=True):
    """A requirement that is not there to be probed, and why."""

    name: str
    reason: str
    is_unavailable: bool = False
    """True if the index has nothing that installs here."""


class Provided(msgspec.Struct, frozen=True):
    """Distributions ready to be probed."""

    found: tuple[Installed, ...]
    path: tuple[str, ...]
    missing: tuple[Missing, ...] = ()
    throw_away: str = ""
    """A folder to delete afterwards."""
    note: str = ""

    def discard(self) -> None:
        """Delete the throw-away folder."""
        if self.throw_away:
            shutil.rmtree(self.throw_away, ignore_errors=True)


def provide(
    wanted: Wanted,
    environment: Environment,
    *,
    uv: Uv | None,
    folder: Path,
    offline: bool = False,
    allow_build: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Provided:
    """Make what is wanted available to the prober, and say where it comes from.

    Args:
        wanted: what to check.
        environment: the interpreter it is for.
        uv: installs what is not there; None if there is no uv.
        folder: throw-away folders are made below it.
        offline: use only what is installed.
        allow_build: allow distributions without a wheel, whose build runs their code.
        say: told what happens.

    Raises:
        ResolutionFailed: nothing of it could be installed.
    """
    here = installed_in(environment.path)
    if wanted.kind == "environment":
        return Provided(tuple(here), environment.path, note=f"as installed for {environment.label}")
    if wanted.kind == "package":
        path = (*wanted.source, wanted.vendor) if wanted.vendor else wanted.source
        found = installed_in([wanted.vendor]) if wanted.vendor else []
        return Provided(tuple(found), (*path, *_standard(environment)), note="as vendored in the package")
    if offline or (wanted.kind == "names" and _are_there(wanted, here)):
        return _installed(wanted, here, environment)
    if uv is None:
        raise ResolutionFailed(
            target=wanted.label, done="resolved", reason="uv is not installed", advice=_NO_UV
        )
    return _Throwaway(wanted, environment, uv, folder, allow_build=allow_build, say=say).fill()


def _are_there(wanted: Wanted, here: Iterable[Installed]) -> bool:
    by_name = {one.name: one for one in here}
    for line in wanted.requirements:
        asked = Requirement(line)
        found = by_name.get(canonicalize_name(asked.name))
        if found is None or not asked.specifier.contains(found.version, prereleases=True):
            return False
    return True


def _installed(wanted: Wanted, here: list[Installed], environment: Environment) -> Provided:
    by_name = {one.name: one for one in here}
    waiting = list(wanted.direct)
    names: set[str] = set()
    only = wanted.kind == "names"
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            if name in by_name and not only:
                waiting += by_name[name].requires
    found = tuple(one for one in here if one.name in names)
    missing = tuple(
        Missing(name, "it is not installed, and nothing is fetched offline")
        for name in sorted(names - set(by_name))
        if name in wanted.direct
    )
    return Provided(found, environment.path, missing, note=f"as installed for {environment.label}")


def _standard(environment: Environment) -> tuple[str, ...]:
    """The search path without installed distributions."""
    return tuple(one for one in environment.path if "site-packages" not in one and "dist-packages" not in one)


class _Throwaway:
    """A folder for one target. Its name follows from the target, so that an interrupted batch finds it again."""

    def __init__(
        self,
        wanted: Wanted,
        environment: Environment,
        uv: Uv,
        folder: Path,
        *,
        allow_build: bool,
        say: Callable[[str], None],
    ) -> None:
        self.wanted, self.environment, self.uv, self.say = wanted, environment, uv, say
        self.options = ["--python", environment.interpreter]
        self.build = [] if allow_build else ["--no-build"]
        name = sha256(f"{wanted!r}{environment.build}{allow_build}".encode()).hexdigest()[:16]
        self.folder = folder / "work" / name

    def fill(self) -> Provided:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.say(f"installing {self.wanted.label} for {self.environment.label} into a throw-away folder")
        lines = self._requirements()
        file = self.folder / "requirements.txt"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        status, _, said = self._install(["--requirements", str(file), *self._exact()])
        missing: list[Missing] = []
        if status:
            missing = self._one_by_one(lines, said)
        target = self.folder / "site"
        found = installed_in([str(target)])
        if not found and (lines or status):
            self.discard()
            raise ResolutionFailed(
                target=self.wanted.label, done="installed", reason=_last(said),
                advice="Check the names and versions, the index in uv's or pip's configuration, and the network",
            )  # fmt: skip
        path = (str(target), *_standard(self.environment))
        note = f"resolved by uv for {self.environment.label} into a throw-away folder"
        return Provided(tuple(found), path, tuple(missing), str(self.folder), note)

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _exact(self) -> list[str]:
        return ["--no-deps"] if self.wanted.kind == "lock" else []

    def _requirements(self) -> list[str]:
        file = Path(self.wanted.file)
        if file.name == "uv.lock":
            options = ["--frozen", "--no-emit-local", "--no-hashes", "--no-annotate", "--no-header"]
            options += self.wanted.options or ["--all-extras", "--no-default-groups"]
            status, output, said = self.uv.run(["export", *options, "--quiet"], folder=file.parent)
            if status == 0:
                return [line for line in output.splitlines() if line.strip()]
            self.say(f"uv export: {_last(said)}; taking every package in the lock")
        if self.wanted.kind == "requirements":
            return [f"-r {file}"]
        if file.name.startswith("pylock"):
            return list(self._locked(file))
        return list(self.wanted.requirements)

    def _locked(self, file: Path) -> Iterable[str]:
        """The packages of a PEP 751 lock whose markers fit."""
        data = msgspec.toml.decode(file.read_bytes(), type=dict[str, object])
        for one in msgspec.convert(data.get("packages", []), list[dict[str, object]]):
            marker = f"; {one['marker']}" if one.get("marker") else ""
            version = f"=={one['version']}" if one.get("version") else ""
            yield f"{one['name']}{version}{marker}"

    def _install(self, arguments: list[str]) -> tuple[int, str, str]:
        target = ["--target", str(self.folder / "site")]
        # An interpreter's own environment must not be touched, nor its packages be taken for installed.
        return self.uv.run(["pip", "install", *arguments, *target, *self.options, *self.build, "--quiet"])

    def _one_by_one(self, lines: list[str], said: str) -> list[Missing]:
        """After the whole set failed: what can be installed is, and the rest is named with uv's words."""
        wanted = list(self.wanted.requirements)
        self.say(f"not all of it can be installed together ({_last(said)}); trying one by one")
        missing: list[Missing] = []
        for line in wanted:
            try:
                name = canonicalize_name(Requirement(line).name)
            except InvalidRequirement:
                continue
            status, _, words = self._install([line, *self._exact()])
            if status:
                missing.append(Missing(name, _last(words), is_unavailable=True))
        return missing


def _last(said: str) -> str:
    lines = [line.strip(" ×╰─▶│├hint:").strip() for line in said.splitlines() if line.strip()]
    return " ".join(lines[:_TOLD_LINES])[:350] or "uv said nothing"
