"""uv's command line, as far as compatibility needs it; pip's configuration is handed to it."""

import configparser
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

__all__ = ["Uv", "find_uv", "pip_settings"]


class Uv:
    """One uv program."""

    def __init__(self, program: Path, environment: Mapping[str, str] = os.environ) -> None:
        self.program = program
        self.environment = _with_pip(environment)

    def run(
        self, arguments: Sequence[str], *, given: str | None = None, folder: Path | None = None
    ) -> tuple[int, str, str]:
        """Exit status, output and what it said. Never raises for what uv answers."""
        try:
            outcome = subprocess.run(
                [str(self.program), *arguments, "--color", "never", "--no-progress"],
                capture_output=True, text=True, errors="replace", check=False,
                env=self.environment, cwd=folder, input=given if given is not None else "",
            )  # fmt: skip
        except OSError as error:
            return 127, "", str(error)
        return outcome.returncode, outcome.stdout, outcome.stderr.strip()

    def indexes(self, folder: Path | None = None) -> tuple[list[str], list[str]]:
        """The indexes and find-links places it is configured to use, its own default among them."""
        options = ["--emit-index-url", "--emit-find-links", "--no-header", "--quiet", "--offline"]
        options += ["--python", sys.executable]
        status, output, _ = self.run(["pip", "compile", "-", *options], folder=folder)
        indexes: list[str] = []
        links: list[str] = []
        for line in output.splitlines() if status == 0 else []:
            option, _, value = line.partition(" ")
            if option in ("--index-url", "--extra-index-url"):
                indexes.append(value.strip())
            elif option == "--find-links":
                links.append(value.strip())
        return indexes, links


def find_uv(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The uv on the search path, beside the running interpreter, or in its environment."""
    named = environment.get("UV", "")
    beside = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    for found in (named, beside):
        if found and Path(found).is_file():
            return Path(found)
    spec = find_spec("uv")
    for place in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(place).parents[3] / "bin" / "uv"
        if candidate.is_file():
            return candidate
    return None


def pip_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Pip's index settings: its files, least specific first, then its variables."""
    home = environment.get("HOME", "")
    config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    files = ["/etc/pip.conf", f"{config}/pip/pip.conf", f"{home}/.pip/pip.conf", f"{sys.prefix}/pip.conf"]
    if environment.get("PIP_CONFIG_FILE"):
        files.append(environment["PIP_CONFIG_FILE"])
    parser = configparser.RawConfigParser()
    found: dict[str, str] = {}
    try:
        parser.read(files, encoding="utf-8")
    except configparser.Error, UnicodeDecodeError:
        return found
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    for name in ("index-url", "extra-index-url", "find-links", "cert", "no-index"):
        value = environment.get(f"PIP_{name.upper().replace('-', '_')}")
        if value:
            found[name] = value
    return found


def _with_pip(environment: Mapping[str, str]) -> dict[str, str]:
    """Uv reads its own configuration only: what is set for pip alone is handed to it."""
    made, pip = dict(environment), pip_settings(environment)
    for name, ours in (("index-url", "UV_DEFAULT_INDEX"), ("extra-index-url", "UV_INDEX")):
        old = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}[ours]
        if name in pip and not (environment.get(ours) or environment.get(old)):
            made[ours] = " ".join(pip[name].split())
    if "UV_INDEX" in made and "UV_INDEX" not in environment:
        made.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")  # pip looks at all indexes alike
    if "find-links" in pip and not environment.get("UV_FIND_LINKS"):
        made["UV_FIND_LINKS"] = ",".join(pip["find-links"].split())
    if "cert" in pip and not environment.get("SSL_CERT_FILE"):
        made["SSL_CERT_FILE"] = pip["cert"]
    return made
