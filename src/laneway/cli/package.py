"""`laneway package`: make, vendor, build, sign, verify, look into, install and remove packages."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from laneway._core.errors import PackageError, PackageUnreadable
from laneway._core.model import TaskSpec
from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._options import json_option as _as_json
from laneway.cli._package_natives import native_facts, native_lines
from laneway.cli._package_text import inspection_lines, size_text
from laneway.packages import Package, Trust, build_archive, open_package, verify_archive
from laneway.packages._record import SIGNATURE_NAME, record_text
from laneway.packages.archive import SUFFIX, read_head
from laneway.packages.cache import PackageCache
from laneway.packages.discovery import workflows_of
from laneway.packages.folder import open_folder
from laneway.packages.inspection import LaneWish, inspection_of
from laneway.packages.opening import default_shelf, locate
from laneway.packages.places import cache_places, first_usable, shelf_places
from laneway.packages.scaffold import new_package
from laneway.packages.shelf import Installed, Shelf
from laneway.packages.signing import new_key as make_key
from laneway.packages.signing import public_key_of, sign_record, trusted, verdict_of
from laneway.packages.vendoring import Vendored, missing_from, vendor
from laneway.settings import settings_from
from laneway.targets import discovered

__all__ = ["package_group"]

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_ANY = click.Path(path_type=Path)

_trust_keys = click.option(
    "--trust",
    "keys",
    multiple=True,
    metavar="KEY",
    help="A public key, or the file that holds it. May be repeated.",
)
_signed_only = click.option("--signed-only", is_flag=True, help="Refuse what no trusted key signed.")
_shelf_option = click.option("--shelf", type=_FOLDER, help="Folder of installed packages; default: XDG data.")
_cache_option = click.option(
    "--cache", type=_FOLDER, help="Folder of extracted packages; default: XDG cache."
)


@click.group("package", context_settings={"help_option_names": ["-h", "--help"]})
def package_group() -> None:
    """Make, vendor, build, sign, verify, inspect, install and remove packages.

    A package is a folder with laneway.toml and src/, or that folder packed as one .lane file.
    """


@package_group.command("new")
@click.argument("folder", type=_ANY)
@click.option("--name", help="The package's name; by default the folder's.")
@_as_json
def new(folder: Path, name: str | None, as_json: bool) -> None:
    """Make FOLDER: a working package with a workflow and a test that passes at once."""
    root = new_package(folder, name)
    package = open_package(root)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    record = {"name": package.name, "version": package.version, "path": str(root), "files": files}
    lines = [f"made {root}", *[f"  {path}" for path in files]]
    lines += [
        "",
        "Next:",
        f"  cd {_quoted(folder)} && python -m pytest",
        f"  laneway tasks {_quoted(folder)}",
    ]
    lines.append(f'  laneway run {_quoted(folder)} -c text="to be or not to be"')
    _show(record, lines, as_json)


@package_group.command("vendor")
@click.argument("folder", type=_FOLDER, default=".")
@click.option("--offline", is_flag=True, help="Use only what uv has in its cache.")
@click.option("--locked", is_flag=True, help="Install exactly what laneway.lock says.")
@click.option("--upgrade", is_flag=True, help="Take the newest versions that fit instead of the lock's.")
@click.option("--allow-build", is_flag=True, help="Build what has no wheel; this runs its code here.")
@click.option(
    "--no-probe", is_flag=True, help="Do not try native code out, which imports it in processes of its own."
)
@click.option("--uv", "uv", type=_FILE, help="The uv to use; default: the one on PATH or beside this Python.")
@_as_json
def vendor_command(folder: Path, no_probe: bool, as_json: bool, **options: Any) -> None:
    """Install [dependencies] into vendor/ with uv, pinned by hash in laneway.lock."""
    package = open_folder(folder, is_own=True)
    found = vendor(package.root, package.manifest, **options)
    natives = [] if no_probe or not any(one.native for one in found) else native_facts(package.root)
    record = {"name": package.name, "vendored": msgspec.to_builtins(found), "native": natives}
    lines = [f"vendored {len(found)} distribution(s) for {package.label}", *map(_vendored_line, found)]
    lines += native_lines(natives)
    _show(record, lines, as_json)


@package_group.command("build")
@click.argument("folder", type=_FOLDER, default=".")
@click.option("--output", "-o", type=_ANY, help="The file to write, or a folder for it.")
@click.option("--key", type=_FILE, help="Sign with this private key.")
@_as_json
def build(folder: Path, output: Path | None, key: Path | None, as_json: bool) -> None:
    """Pack FOLDER into one .lane file. The same files give the same bytes."""
    package = open_folder(folder, is_own=key is not None)
    target = _target(package, output)
    signature = _existing_signature(package)
    if key is not None:
        signature = sign_record(record_text(package.files).encode(), key, existing=signature)
    size = build_archive(package, target, signature=signature)
    record: dict[str, Any] = {
        "name": package.name,
        "version": package.version,
        "path": str(target),
        "content_hash": package.content_hash,
        "files": len(package.files),
        "size_bytes": size,
        "signed": bool(signature),
    }
    missing = record["missing"] = missing_from(package.root, package.manifest)
    if missing:
        text = f"{', '.join(missing)} not in vendor/: tasks that import it will fail. Run `laneway package vendor`"
        click.echo(f"laneway: {text}", err=True)
    signed = ", signed" if signature else ""
    lines = [f"built {target} ({size_text(size)}, {len(package.files)} files{signed})"]
    _show(record, [*lines, f"content {package.content_hash}"], as_json)


@package_group.command("verify")
@click.argument("package", metavar="PACKAGE")
@_trust_keys
@_signed_only
@_shelf_option
@_as_json
def verify(package: str, keys: Sequence[str], signed_only: bool, shelf: Path | None, as_json: bool) -> None:
    """Check every byte of a .lane file (or a folder, or an installed NAME@VERSION) and its signature."""
    trust = _trust(keys, signed_only)
    path = locate(package, _shelf(shelf))
    if path.is_dir():
        opened = open_package(path, trust=trust)
        manifest, content, verdict, files = (
            opened.manifest,
            opened.content_hash,
            opened.signature,
            len(opened.files),
        )
    else:
        head = verify_archive(path)
        verdict = verdict_of(str(path), head.record, head.signature, trust)
        manifest, content, files = head.manifest, head.content_hash, len(head.files)
    record = {
        "name": manifest.name,
        "version": manifest.version,
        "path": str(path),
        "content_hash": content,
        "files": files,
        "signature": verdict._asdict(),
    }
    signer = f" ({verdict.signer})" if verdict.signer else ""
    lines = [f"{manifest.name} {manifest.version} is in order: {files} files, {verdict.status}{signer}"]
    _show(record, [*lines, f"content {content}"], as_json)


@package_group.command("sign")
@click.argument("package", type=_ANY, required=False)
@click.option("--key", type=_FILE, help="The private key to sign with.")
@click.option("--new-key", type=_FILE, help="Make a private key in this file, and its public half beside it.")
@_as_json
def sign(package: Path | None, key: Path | None, new_key: Path | None, as_json: bool) -> None:
    """Sign a .lane file or a folder with an Ed25519 key; or make a key with --new-key."""
    if (key is None) == (new_key is None):
        raise click.UsageError("give one of --key and --new-key")
    if new_key is not None:
        public = make_key(new_key)
        if package is None:
            lines = [f"made {new_key} (keep it secret) and {new_key}.pub", public.text()]
            _show({"key": str(new_key), "public_key": public.text(), "signed": None}, lines, as_json)
            return
        key = new_key
    if package is None or key is None:
        raise click.UsageError("give the package to sign")
    public = public_key_of(key)
    opened = _sign(package, key)
    record = {"key": str(key), "public_key": public.text(), "signed": str(package), "content_hash": opened}
    _show(record, [f"signed {package} with {public.label}", f"public key {public.text()}"], as_json)


@package_group.command("inspect")
@click.argument("package", metavar="PACKAGE")
@click.option("--no-import", is_flag=True, help="Do not run the package's code: no tasks, graph and lanes.")
@_trust_keys
@_signed_only
@_shelf_option
@_as_json
def inspect(
    package: str, no_import: bool, keys: Sequence[str], signed_only: bool, shelf: Path | None, as_json: bool
) -> None:
    """Show a package's tasks, graph, lanes with reasons, policy, limits, sizes, signature and dependencies."""
    opened = open_package(locate(package, _shelf(shelf)), trust=_trust(keys, signed_only))
    found = _inspection(opened, no_import=no_import)
    if not no_import and any(one["native"] for one in found["dependencies"]["vendored"]):
        found["native"] = native_facts(opened.root)
    _show(found, inspection_lines(found), as_json)


@package_group.command("install")
@click.argument("archive", type=_ANY)
@click.option("--replace", is_flag=True, help="Replace other content under the same name and version.")
@_trust_keys
@_signed_only
@_shelf_option
@_as_json
def install(
    archive: Path, replace: bool, keys: Sequence[str], signed_only: bool, shelf: Path | None, as_json: bool
) -> None:
    """Verify a .lane file and keep it, so that it can be run as NAME or NAME@VERSION."""
    if archive.is_dir():
        advice = "Build it first: `laneway package build`"
        raise PackageUnreadable(
            package=str(archive), reason="it is a folder, not a .lane file", advice=advice
        )
    head = read_head(archive)
    verdict_of(str(archive), head.record, head.signature, _trust(keys, signed_only))
    found = Shelf(shelf or first_usable(shelf_places())).install(archive, replace=replace)
    _show(
        _installed(found),
        [f"installed {found.name} {found.version}", f"run it: laneway run {found.name}"],
        as_json,
    )


@package_group.command("list")
@_shelf_option
@_as_json
def list_command(shelf: Path | None, as_json: bool) -> None:
    """List installed packages."""
    there = _shelf(shelf).listed()
    lines = [f"{one.name} {one.version}  {size_text(one.size_bytes)}  {_state(one)}" for one in there]
    _show({"packages": [*map(_installed, there)]}, lines or ["no packages are installed"], as_json)


@package_group.command("remove")
@click.argument("package", metavar="NAME[@VERSION]")
@click.option(
    "--wait", "wait_seconds", type=click.FloatRange(min=0), default=0.0, help="Seconds to wait for its users."
)
@_shelf_option
@_cache_option
@_as_json
def remove(package: str, wait_seconds: float, shelf: Path | None, cache: Path | None, as_json: bool) -> None:
    """Remove an installed package and its extracted files, once no engine uses them."""
    shelves = _shelf(shelf)
    found = shelves.find(package)
    extracted = PackageCache(cache or first_usable(cache_places()))
    others = [
        one for one in shelves.listed() if one.content_hash == found.content_hash and one.path != found.path
    ]
    if found.content_hash and not others:
        label = f"{found.name} {found.version}"
        extracted.remove(found.content_hash, wait_seconds=wait_seconds, label=label)
    found = shelves.remove(f"{found.name}@{found.version}")
    _show(_installed(found), [f"removed {found.name} {found.version}"], as_json)


def _show(record: dict[str, Any], lines: Sequence[str], as_json: bool) -> None:
    if as_json:
        screen.print_json(record)
    else:
        click.echo(screen.without_controls("\n".join(lines)))


def _inspection(package: Package, *, no_import: bool) -> dict[str, Any]:
    if no_import:
        return inspection_of(package)
    return asyncio.run(_discovered(package))


async def _discovered(package: Package) -> dict[str, Any]:
    """The package as its own workers see it."""
    unit = package.unit()
    async with Engine("memory://", grace=1) as engine:
        answer = await discovered(package, engine.fleet, afresh=True)
        try:
            workflows = workflows_of(package, answer)
        except PackageError as error:
            return inspection_of(package, problem=str(error))

        def lane_of(task: TaskSpec) -> LaneWish:
            choice = engine.choice(task, unit)
            return LaneWish(choice.lane, choice.reason, choice.refused or "")

        refusal = str(answer.get("interpreter_refusal") or "")
        return inspection_of(package, workflows, lane_of=lane_of, interpreter_refusal=refusal)


def _shelf(folder: Path | None) -> Shelf:
    return Shelf(folder) if folder else default_shelf()


def _trust(keys: Sequence[str], signed_only: bool) -> Trust:
    settings = settings_from()
    known = [*settings.trusted_keys, *keys]
    if signed_only and not known:
        raise click.UsageError("--signed-only needs --trust KEY")
    return trusted(known, allow_unsigned=not (signed_only or settings.signed_only))


def _target(package: Package, output: Path | None) -> Path:
    name = f"{package.name}-{package.version}{SUFFIX}"
    if output is None:
        return Path.cwd() / name
    return output / name if output.is_dir() else output.absolute()


def _sign(package: Path, key: Path) -> str:
    """Sign in place; returns the content's hash."""
    opened = open_folder(package, is_own=True) if package.is_dir() else open_package(package)
    record = record_text(opened.files).encode()
    signature = sign_record(record, key, existing=_existing_signature(opened))
    if opened.archive is None:
        (opened.root / SIGNATURE_NAME).write_bytes(signature)
    else:
        build_archive(opened, opened.archive, signature=signature)
    return opened.content_hash


def _existing_signature(package: Package) -> bytes:
    if package.archive is not None:
        return read_head(package.archive).signature
    try:
        return (package.root / SIGNATURE_NAME).read_bytes()
    except FileNotFoundError:
        return b""


def _installed(one: Installed) -> dict[str, Any]:
    return {**msgspec.structs.asdict(one), "path": str(one.path)}


def _state(one: Installed) -> str:
    return f"damaged: {one.problem}" if one.problem else "signed" if one.signed else "unsigned"


def _vendored_line(one: Vendored) -> str:
    native = f", {screen.counted(len(one.native), 'file')} in native code" if one.native else ""
    return f"  {one.name} {one.version}  {screen.counted(one.files, 'file')}, {size_text(one.size_bytes)}{native}"


def _quoted(path: Path) -> str:
    text = str(path)
    return f"'{text}'" if " " in text else text
