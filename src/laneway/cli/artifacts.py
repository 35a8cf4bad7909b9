"""`laneway artifacts`: list the large values that runs keep, write one to a file, keep one."""

# What JSON holds has no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import json
import mimetypes
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid7

import msgspec
import rich_click as click

from laneway._core.artifacts import PREFIX, ArtifactDamaged, ArtifactError, ArtifactMissing, named
from laneway._core.errors import SettingInvalid
from laneway._core.records import NO_ITEM, SavedRun
from laneway.artifacts import Desk
from laneway.cli import _screen as screen
from laneway.cli._options import debug_option, json_option, store_option, store_url
from laneway.cli._stores import full_id, opened
from laneway.engine.artifacts import Artifacts
from laneway.ports import Store
from laneway.registry import store_from
from laneway.settings import settings_from
from laneway.stores._processes import here
from laneway.stores.artifacts import artifacts_of

__all__ = ["artifacts_group"]

_SHORTEST = 4


class ArtifactAmbiguous(ArtifactError):
    """Several artifacts begin with what was given."""

    code = "LW-ART-004"
    template = "{count} artifacts begin with {hash}: {listing}. Give more of the hash"


@click.group("artifacts")
def artifacts_group() -> None:
    """List the large values that runs keep, write one to a file, keep one for a run.

    HASH is `sha256:` and the digest, or only the digest, or the beginning of one that no other artifact shares.
    """


@artifacts_group.command("list")
@click.option("--run", metavar="RUN", help="Only those of this run, with where they are: an id, or `latest`.")
@store_option
@json_option
@debug_option
def list_artifacts(run: str | None, store: str | None, as_json: bool) -> None:
    """List artifacts, oldest first."""
    rows = asyncio.run(_listed(store, run))
    if as_json:
        screen.print_json(rows)
        return
    if not rows:
        screen.errors().print(
            "no artifacts" if run is None else f"run {run} keeps no artifacts", soft_wrap=True
        )
        return
    now = time.time()
    shown = [
        [
            row["hash"][len(PREFIX) :][:16],
            f"{row['size']:,}",
            screen.ago(now - row["created"]),
            screen.without_controls("; ".join(row["places"])) if run else str(row["runs"]),
            screen.without_controls(", ".join(row.get("media_types", ()))),
        ]
        for row in rows
    ]
    screen.print_table(
        ["hash", "bytes", "kept", "where" if run else "runs", *(["media type"] if run else [])],
        [row if run else row[:4] for row in shown],
        right=["bytes"] if run else ["bytes", "runs"],
    )


async def _listed(given: str | None, run: str | None) -> list[dict[str, Any]]:
    async with opened(given) as store:
        if run is None:
            rows = await artifacts_of(store).listed(None)
            return [{"hash": PREFIX + row.pop("digest"), **row} for row in rows]
        wanted = await full_id(store, run)
        saved: SavedRun = (await store.read("saved", run=wanted))[0]["saved"]
        rows = await artifacts_of(store).listed(saved.record.run)
    places: dict[str, dict[str, None]] = {}
    media_types: dict[str, dict[str, None]] = {}
    for digest, media_type, place in _references(saved):
        places.setdefault(digest, {})[place] = None
        media_types.setdefault(digest, {})[media_type] = None
    return [
        {
            "hash": PREFIX + (digest := row.pop("digest")),
            **row,
            "media_types": list(media_types.get(digest, ())),
            "places": list(places.get(digest, ())),
        }
        for row in rows
    ]


def _references(saved: SavedRun) -> Iterator[tuple[str, str, str]]:
    """What a run's initial context and its steps refer to: digest, media type, where."""
    yield from _found_in(msgspec.json.decode(saved.record.context), "")
    for row in saved.steps:
        if row.patch is not None:
            at = "" if row.item == NO_ITEM else f"{row.task}[{row.item}]"
            yield from _found_in(msgspec.json.decode(row.patch), at)


def _found_in(value: Any, place: str) -> Iterator[tuple[str, str, str]]:
    waiting = [(value, place)]
    while waiting:
        value, place = waiting.pop()
        found = named(value)
        if found is not None:
            yield found[0], found[2], place
        elif isinstance(value, dict):
            waiting += [(child, f"{place}.{key}" if place else key) for key, child in value.items()]
        elif isinstance(value, list):
            waiting += [(child, f"{place}[{number}]") for number, child in enumerate(value)]


@artifacts_group.command("put")
@click.argument("file", metavar="FILE")
@click.option(
    "--media-type", metavar="TYPE", help="What it is, such as image/png. Default: by the file's name."
)
@store_option
@debug_option
def put(file: str, media_type: str | None, store: str | None) -> None:
    """Keep a file, and print its reference for `laneway run -c KEY=REFERENCE`. - reads standard input.

    What no run is given within a day is deleted by the next `laneway gc`.
    """
    chosen = media_type or mimetypes.guess_type(file)[0] or "application/octet-stream"
    reference = asyncio.run(_put(store_url(store), file, chosen))
    print(json.dumps(reference, separators=(",", ":")))


async def _put(url: str, file: str, media_type: str) -> dict[str, Any]:
    settings = settings_from()
    artifacts = Artifacts(settings.artifact_bytes)
    store = store_from(url, durability=settings.durability)
    try:
        source: Any = sys.stdin.buffer if file == "-" else Path(file)
        await store.open(here(str(uuid7())))
        try:
            artifacts.open(artifacts_of(store))
            return (await artifacts.put(source, media_type=media_type)).reference
        finally:
            await artifacts.close()
            await store.close()
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise SettingInvalid(
            setting="FILE", value=file, reason=str(error.strerror), advice="Name a file that can be read."
        ) from error
    except ValueError as error:
        raise SettingInvalid(
            setting="--media-type", value=media_type, reason="it is none", advice="Use one such as image/png."
        ) from error


@artifacts_group.command("get")
@click.argument("which", metavar="HASH")
@click.option(
    "-o", "--output", metavar="FILE", help="Where to write it; - or nothing writes to standard output."
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@store_option
@debug_option
def get(which: str, output: str | None, force: bool, store: str | None) -> None:
    """Write an artifact to a file, checked against its hash."""
    to_stdout = output in (None, "-")
    if output is None and sys.stdout.isatty():
        raise SettingInvalid(
            setting="--output",
            value="",
            reason="a terminal cannot show bytes",
            advice="Use -o FILE, or a pipe.",
        )
    if not to_stdout and output is not None and not force and os.path.lexists(output):
        raise SettingInvalid(
            setting="--output",
            value=output,
            reason="it is there already",
            advice="Use --force to write over it.",
        )
    folder = None if to_stdout or output is None else Path(output).absolute().parent
    if folder is not None and not folder.is_dir():
        raise SettingInvalid(
            setting="--output", value=output, reason=f"there is no folder {folder}", advice="Make it first."
        )
    with tempfile.TemporaryDirectory(prefix=".laneway-", dir=folder) as staging:
        part = os.path.join(staging, "artifact")
        asyncio.run(_fetched(store, which, part))
        if output is not None and folder is not None:
            os.replace(part, output)
        else:
            with open(part, "rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
            sys.stdout.buffer.flush()


async def _fetched(given: str | None, which: str, target: str) -> None:
    async with opened(given) as store:
        digest = await _digest(store, which)
        if not await artifacts_of(store).fetch(digest, target):
            folder = artifacts_of(store).folder
            raise ArtifactMissing(
                hash=PREFIX + digest,
                where=f"{store.url} knows it, but its bytes are gone",
                advice=f"Keep the folder {folder} together with its database."
                if folder
                else "Restore a backup.",
            )
        await asyncio.to_thread(_check, digest, target, store.url)


def _check(digest: str, target: str, store: str) -> None:
    with open(target, "rb") as file:
        try:
            Desk("", "").check(digest, file, target)
        except ArtifactDamaged as error:
            raise ArtifactDamaged(hash=error.fields["hash"], where=f"the copy in {store}") from None


async def _digest(store: Store, which: str) -> str:
    """The digest that was meant.

    Raises:
        ArtifactMissing: there is none of that name.
        ArtifactAmbiguous: there are several.
    """
    wanted = which.removeprefix(PREFIX).lower()
    digests = [row["digest"] for row in await artifacts_of(store).listed(None)]
    found = [one for one in digests if one.startswith(wanted)] if len(wanted) >= _SHORTEST else []
    if not found:
        raise ArtifactMissing(
            hash=which, where=f"in {store.url}", advice="`laneway artifacts list` shows what there is."
        )
    if len(found) > 1:
        listing = ", ".join(one[:16] for one in found[:5]) + (" and more" if len(found) > 5 else "")
        raise ArtifactAmbiguous(hash=which, count=len(found), listing=listing)
    return str(found[0])
