"""Which files the configured package index has: wheels per Python version, source archives, the newest version."""

import base64
import contextlib
import html.parser
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

__all__ = ["COLUMNS", "Index", "Offer", "offer_of"]

COLUMNS = ("cp314", "cp314t", "cp315", "cp315t")
"""The builds that wheels are looked up for."""

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_FRESH_SECONDS = 24 * 3600
_MOST_BYTES = 64 * 2**20
_AT_ONCE = 8


class Offer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an index has of one distribution."""

    version: str = ""
    wheels: dict[str, str] = {}
    """Per build of Python, the tag of the wheel that fits it: `cp314`, `abi3`, `pure`; empty if there is none."""
    has_sdist: bool = False
    latest: str = ""
    latest_wheels: dict[str, str] = {}


class Index:
    """The user's package indexes. Answers are kept for a day; what cannot be reached is not an error but unknown."""

    def __init__(
        self,
        indexes: Sequence[str],
        links: Sequence[str],
        folder: Path,
        *,
        certificates: str = "",
        offline: bool = False,
    ) -> None:
        self._indexes = list(indexes)
        self._links = list(links)
        self._folder = folder / "index"
        self._offline = offline
        self._certificates = certificates
        self._context: ssl.SSLContext | None = None

    def offers(self, wanted: Mapping[str, str]) -> dict[str, Offer]:
        """Per name, what there is of the version given (empty: the newest). Names nobody knows are left out."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="laneway-index") as pool:
            answers = list(pool.map(self._files, wanted))
        return {
            name: offer_of(files, version)
            for (name, version), files in zip(wanted.items(), answers, strict=True)
            if files
        }

    def _files(self, name: str) -> list[str]:
        """File names of one project, in all indexes and find-links folders."""
        found = [file for place in self._links for file in self._linked(place, name)]
        return [*found, *(file for index in self._indexes for file in self._listed(index, name))]

    def _linked(self, place: str, name: str) -> list[str]:
        path = Path(urllib.parse.urlsplit(place).path if place.startswith("file:") else place)
        if not path.is_dir():
            return []
        return [one.name for one in path.iterdir() if _project_of(one.name) == name]

    def _listed(self, index: str, name: str) -> list[str]:
        url = f"{index.rstrip('/')}/{name}/"
        kept = self._folder / f"{sha256(url.encode()).hexdigest()[:32]}.json"
        with contextlib.suppress(OSError, msgspec.DecodeError):
            is_fresh = time.time() - kept.stat().st_mtime < _FRESH_SECONDS
            if is_fresh or self._offline:
                return msgspec.json.decode(kept.read_bytes(), type=list[str])
        if self._offline:
            return []
        files = self._fetch(url)
        if files is None:
            return []
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = kept.with_name(f".{kept.name}.{os.getpid()}")
            temporary.write_bytes(msgspec.json.encode(files))
            os.replace(temporary, kept)
        return files

    def _fetch(self, url: str) -> list[str] | None:
        """The project's file names, or None if the index did not answer. An index that lacks it has no files."""
        if url.startswith("file:"):
            folder = Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
            page = folder / "index.html"
            if page.is_file():
                return _from_html(page.read_text(encoding="utf-8", errors="replace"))
            return [one.name for one in folder.iterdir()] if folder.is_dir() else []
        try:
            with urllib.request.urlopen(_request(url), timeout=20, context=self._tls()) as answer:
                kind = answer.headers.get_content_type()
                data = answer.read(_MOST_BYTES)
        except urllib.error.HTTPError as error:
            error.close()
            return [] if error.code in (404, 410) else None
        except OSError, ValueError:
            return None
        if kind.endswith("+json") or kind == "application/json":
            return _from_json(data)
        return _from_html(data.decode("utf-8", "replace"))

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._certificates or None)
        return self._context


def _request(url: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    headers = {"Accept": _ACCEPT, "User-Agent": "laneway-compat"}
    if parts.username is not None:
        user = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode('ascii')}"
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return urllib.request.Request(urllib.parse.urlunsplit(parts), headers=headers)


def _from_json(data: bytes) -> list[str] | None:
    try:
        answer: Any = msgspec.json.decode(data)
        return [str(one["filename"]) for one in answer["files"] if not one.get("yanked")]
    except msgspec.DecodeError, KeyError, TypeError, AttributeError:
        return None


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and given.get("href") and "data-yanked" not in given:
            path = urllib.parse.urlsplit(given["href"] or "").path
            self.names.append(urllib.parse.unquote(path.rstrip("/").rpartition("/")[2]))


def _from_html(text: str) -> list[str]:
    reader = _Links()
    reader.feed(text)
    return reader.names


def _project_of(file: str) -> str:
    with contextlib.suppress(InvalidWheelFilename, InvalidVersion):
        return str(parse_wheel_filename(file)[0])
    with contextlib.suppress(InvalidSdistFilename, InvalidVersion):
        return str(parse_sdist_filename(file)[0])
    return ""


def offer_of(files: Iterable[str], version: str = "") -> Offer:
    """What these files offer of that version, and of the newest."""
    wheels: dict[Version, dict[str, str]] = {}
    sources: set[Version] = set()
    for file in files:
        if file.endswith(".whl"):
            with contextlib.suppress(InvalidWheelFilename, InvalidVersion):
                _, number, _, tags = parse_wheel_filename(file)
                there = wheels.setdefault(number, {})
                for column in COLUMNS:
                    best = max((_fit(tag, column) for tag in tags), key=len, default="")
                    if best and (column not in there or there[column] == "pure"):
                        there[column] = best
        else:
            with contextlib.suppress(InvalidSdistFilename, InvalidVersion):
                sources.add(parse_sdist_filename(file)[1])
    known = set(wheels) | sources
    final = [one for one in known if not one.is_prerelease] or list(known)
    if not final:
        return Offer()
    latest = max(final)
    with contextlib.suppress(InvalidVersion):
        chosen = Version(version) if version else latest
        return Offer(
            str(chosen), wheels.get(chosen, {}), chosen in sources, str(latest), wheels.get(latest, {})
        )
    return Offer("", {}, False, str(latest), wheels.get(latest, {}))


def _fit(tag: Tag, column: str) -> str:
    """How a wheel's tag fits a build of Python on this system: `cp314`, `abi3`, `pure`, or empty."""
    minor, is_free = int(column.removesuffix("t")[3:]), column.endswith("t")
    interpreter, abi, platform = tag.interpreter, tag.abi, tag.platform
    if platform == "any":
        return "pure" if abi == "none" and interpreter in ("py3", f"py3{minor}", f"cp3{minor}") else ""
    machine = os.uname().machine
    if not (platform.endswith(machine) and "linux" in platform and "musl" not in platform):
        return ""
    if interpreter == column.removesuffix("t") and abi == column:
        return column
    older = interpreter.startswith("cp3") and interpreter[3:].isdigit() and int(interpreter[3:]) <= minor
    if older and abi == "abi3" and not is_free:
        return "abi3"
    if older and abi in ("abi3t", "abi3.abi3t") and minor >= 15:
        return "abi3t"
    return "binary" if abi == "none" and interpreter.startswith(("py3", "py2", f"cp3{minor}")) else ""
