"""Distributions with extension modules that refuse, crash, hang or lie, built for these tests."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest
from parts import lacking

from laneway.compat._children import Limits
from laneway.compat.distributions import Installed, installed_in, owners_of
from laneway.compat.probe import Where

OWN = "Py_MOD_PER_INTERPRETER_GIL_SUPPORTED"
SUPPORTS = ("NO_GIL", f"INTERPRETERS={OWN}")


class Made(NamedTuple):
    """One distribution: its extension modules with their macros, and its Python files."""

    modules: Mapping[str, tuple[str, ...]]
    files: Mapping[str, str] = {}
    requires: tuple[str, ...] = ()


DISTRIBUTIONS = {
    "single": Made({"single_phase": ("SINGLE_PHASE",)}),
    "undeclared": Made({"no_slot": ()}),
    "notsupported": Made({"not_supported": ("INTERPRETERS=Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED",)}),
    "sharedgil": Made({"shared_gil": ("INTERPRETERS=Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED",)}),
    "good": Made({"good_module": SUPPORTS}),
    "pure": Made({}, {"pure_module.py": "import json\n"}),
    "needing": Made({}, {"needing/__init__.py": "from no_slot import answer\n"}, ("undeclared",)),
    "lazy": Made(
        {"lazy/_late": ()}, {"lazy/__init__.py": "", "lazy/core.py": "from lazy._late import answer\n"}
    ),
    "optional": Made(
        {"optional/_fast": ()},
        {
            "optional/__init__.py": "",
            "optional/core.py": "try:\n    from ._fast import answer\nexcept ImportError:\n    answer = 42\n",
        },
    ),
    "swallowing": Made(
        {"swallowing/_fast": ("SINGLE_PHASE",)},
        {
            "swallowing/__init__.py": (
                "try:\n    from swallowing._fast import answer\nexcept ImportError:\n    answer = 1\n"
            )
        },
    ),
    "hanging": Made({"hanging": ("HANGS", *SUPPORTS)}),
    "hanginginit": Made({"hanging_init": ("HANGS", "SINGLE_PHASE")}, {"hanginginit/__init__.py": ""}),
    "crashing": Made({"crashing": ("CRASHES", *SUPPORTS)}),
    "crashinglate": Made({"crashinglate/_part": ("CRASHES", *SUPPORTS)}, {"crashinglate/__init__.py": ""}),
    "exiting": Made({"exiting": ("EXITS", *SUPPORTS)}),
    "forking": Made({"forking": ("FORKS", *SUPPORTS)}),
    "display": Made({"display": ("NEEDS_DISPLAY", *SUPPORTS)}),
    "once": Made({"once": ("ONLY_ONCE", *SUPPORTS)}),
    "sharing": Made({"sharing": ("SHARES", *SUPPORTS)}),
    "systemless": Made({"systemless": ("SINGLE_PHASE", "-lgone")}),
}

if sys.version_info >= (3, 15):
    DISTRIBUTIONS["exporting"] = Made({"exporting": ("EXPORTS",)})


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of the distributions, as an installer leaves them."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path(sysconfig.get_path("include"), "Python.h").is_file():
        lacking("no C compiler or no Python headers here")
    folder = tmp_path_factory.mktemp("site")
    libraries = tmp_path_factory.mktemp("libraries")
    source = Path(__file__).with_name("modules.c")
    (libraries / "gone.c").write_text("int gone(void) { return 1; }\n")
    gone = libraries / "libgone.so"
    subprocess.run([compiler, "-shared", "-fPIC", str(libraries / "gone.c"), "-o", str(gone)], check=True)
    for name, made in DISTRIBUTIONS.items():
        _make(folder, name, made, [compiler, str(source), f"-L{libraries}"])
    gone.unlink()
    return folder


def _make(folder: Path, name: str, made: Made, compiler: list[str]) -> None:
    files: list[Path] = []
    for path, text in made.files.items():
        file = folder / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        files.append(file)
    for path, macros in made.modules.items():
        file = folder / f"{path}{sysconfig.get_config_var('EXT_SUFFIX')}"
        file.parent.mkdir(exist_ok=True)
        program, source, libraries = compiler
        last = [one for one in macros if one.startswith("-l")]
        defined = [f"-D{one}" for one in macros if not one.startswith("-l")]
        include = f"-I{sysconfig.get_path('include')}"
        command = [
            program,
            "-shared",
            "-fPIC",
            "-O0",
            "-w",
            include,
            f"-DNAME={path.rpartition('/')[2]}",
            *defined,
        ]
        subprocess.run(
            [*command, source, "-o", str(file), libraries, "-Wl,--no-as-needed", *last], check=True
        )
        files.append(file)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {one}\n" for one in made.requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp314-cp314-linux_x86_64\n")
    lines = [f"{one.relative_to(folder).as_posix()},{_hash(one)},{one.stat().st_size}\n" for one in files]
    (info / "RECORD").write_text("".join([*lines, f"{info.name}/METADATA,,\n"]))


def _hash(file: Path) -> str:
    digest = hashlib.sha256(file.read_bytes()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.fixture(scope="session")
def wheels(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same distributions as wheels, in a folder for --find-links."""
    folder = tmp_path_factory.mktemp("wheels")
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    for info in site.glob("*.dist-info"):
        name = info.name.removesuffix(".dist-info")
        listed = [line.partition(",")[0] for line in (info / "RECORD").read_text().splitlines()]
        (info / "WHEEL").write_text(
            f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}-{tag}-{platform}\n"
        )
        with ZipFile(folder / f"{name}-{tag}-{tag}-{platform}.whl", "w") as wheel:
            for path in [*listed, f"{info.name}/WHEEL", f"{info.name}/RECORD"]:
                wheel.write(site / path, path)
    return folder


@pytest.fixture(scope="session")
def uv() -> Path:
    """uv from the search path, or the one that set-up keeps in the project."""
    found = shutil.which("uv") or str(Path(__file__).parents[3] / ".tools/bin/uv")
    if not os.access(found, os.X_OK):
        lacking("uv is not on this machine")
    return Path(found)


@pytest.fixture(scope="session")
def found(site: Path) -> dict[str, Installed]:
    return {one.name: one for one in installed_in([str(site)])}


@pytest.fixture(scope="session")
def standard() -> tuple[str, ...]:
    """The search path without what is installed."""
    return tuple(one for one in sys.path if one and "site-packages" not in one and "tests" not in one)


@pytest.fixture(scope="session")
def where(site: Path, found: dict[str, Installed], standard: tuple[str, ...]) -> Where:
    path = (str(site), *standard)
    return Where(sys.executable, path, "test", owners_of(found.values()), Limits(seconds=2.0))
