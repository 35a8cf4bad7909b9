"""Ed25519 signatures over a package's RECORD, and whose signatures an engine accepts."""

import base64
import contextlib
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from laneway._core.errors import PackageUnreadable, SettingInvalid, SignatureRefused, SigningUnavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "PublicKey",
    "Trust",
    "Verdict",
    "checked_trust",
    "new_key",
    "public_key_of",
    "read_public_key",
    "sign_record",
    "trusted",
    "verdict_of",
]

_DOMAIN = b"laneway package 1\n"
"""Ahead of RECORD in what is signed, so that no other kind of signature can be passed off as a package's."""
_PREFIX = "lane-ed25519:"
_LINE = re.compile(r"ed25519 ([A-Za-z0-9+/]{43}=) ([A-Za-z0-9+/]{86}==)")
_MOST_SIGNATURES = 32
_KEY_BYTES = 32


class PublicKey(msgspec.Struct, frozen=True):
    """A key whose signatures can be checked, with a name for people."""

    raw: bytes
    name: str = ""

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the key's SHA-256."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The name, else the fingerprint."""
        return self.name or self.fingerprint

    def text(self) -> str:
        """The key as one line, the form that settings and files hold."""
        return f"{_PREFIX}{base64.b64encode(self.raw).decode()}" + (f" {self.name}" if self.name else "")


class Trust(msgspec.Struct, frozen=True):
    """Whose signatures are accepted, and whether packages without an accepted one run at all."""

    keys: tuple[PublicKey, ...] = ()
    allow_unsigned: bool = True


class Verdict(NamedTuple):
    """What a package's signatures are worth under some trust."""

    status: str
    """`trusted`, `unknown key`, `unsigned` or `unchecked` (cryptography is missing)."""
    signer: str = ""
    """The trusted key's name or fingerprint, or the fingerprints of unknown keys."""


def new_key(path: Path, name: str = "") -> PublicKey:
    """Make a private key in a new file that only its owner can read, and `<path>.pub` beside it.

    Raises:
        SigningUnavailable: cryptography is not installed.
        PackageUnreadable: a file is there already, or cannot be written.
    """
    ed25519 = _ed25519()
    key = ed25519.generate()
    content = ed25519.pem_of(key)
    public = PublicKey(raw=key.public_key().public_bytes_raw(), name=name or path.stem)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(content)
        path.with_name(f"{path.name}.pub").write_text(f"{public.text()}\n", encoding="utf-8")
    except FileExistsError as error:
        raise _key_error(
            path, "is there already", "Choose another name; a key is never overwritten"
        ) from error
    except OSError as error:
        raise _key_error(path, f"cannot be written ({error.strerror})", "Choose another place") from error
    return public


def public_key_of(path: Path) -> PublicKey:
    """The public half of a private key file."""
    return PublicKey(raw=_private_key(path).public_key().public_bytes_raw(), name=path.stem)


def read_public_key(text: str) -> PublicKey:
    """A public key from its text form, or from the file that holds it.

    Raises:
        PackageUnreadable: neither a key nor a file with one.
    """
    found = text.strip()
    if not found.startswith(_PREFIX):
        try:
            found = Path(text).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            advice = f"Give a line that starts with {_PREFIX} or a .pub file"
            raise _key_error(text, "is neither a public key nor a file with one", advice) from error
    encoded, _, name = found.removeprefix(_PREFIX).partition(" ")
    with contextlib.suppress(ValueError):
        raw = base64.b64decode(encoded, validate=True)
        if found.startswith(_PREFIX) and len(raw) == _KEY_BYTES:
            return PublicKey(raw=raw, name=name.strip()[:80])
    raise _key_error(text, "is not a public key", f"A key is one line: {_PREFIX}BASE64 and maybe a name")


def sign_record(record: bytes, key_file: Path, *, existing: bytes = b"") -> bytes:
    """SIGNATURE's new content: the existing lines of other keys that fit RECORD, and one by this key.

    Raises:
        SigningUnavailable: cryptography is not installed.
        PackageUnreadable: the key file cannot be used.
    """
    key = _private_key(key_file)
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    signature = base64.b64encode(key.sign(_DOMAIN + record)).decode()
    lines = [line for line in existing.decode("ascii", "replace").splitlines() if _fits(line, record)]
    kept = [line for line in lines if line.split(" ")[1:2] != [public]]
    return "".join(f"{line}\n" for line in sorted([*kept, f"ed25519 {public} {signature}"])).encode()


def _fits(line: str, record: bytes) -> bool:
    """Whether a line of SIGNATURE is one, and about that content."""
    match = _LINE.fullmatch(line)
    if match is None:
        return False
    raw, value = map(base64.b64decode, match.groups())
    return bool(_ed25519().check(raw, value, _DOMAIN + record))


def verdict_of(package: str, record: bytes, signature: bytes, trust: Trust) -> Verdict:
    """Check a package's signatures against its RECORD.

    A signature that does not fit is always refused, also where unsigned packages are allowed: somebody changed
    something after signing.

    Raises:
        SignatureRefused: a signature is wrong or malformed, or none is by a trusted key where one is needed.
        SigningUnavailable: signatures must be checked and cryptography is not installed.
    """
    if not signature:
        if not trust.allow_unsigned:
            raise _refused(
                package, "it is not signed and this engine runs signed packages only", _SIGN_ADVICE
            )
        return Verdict("unsigned")
    pairs = _signatures(package, signature)
    if trust.allow_unsigned and not trust.keys and not _has_cryptography():
        return Verdict("unchecked")
    ed25519 = _ed25519()
    for raw, value in pairs:
        if not ed25519.check(raw, value, _DOMAIN + record):
            reason = f"its signature by key {PublicKey(raw=raw).fingerprint} does not fit its content"
            raise _refused(package, reason, _CHANGED_ADVICE)
    known = {key.raw: key for key in trust.keys}
    for raw, _ in pairs:
        if raw in known:
            return Verdict("trusted", known[raw].label)
    signers = ", ".join(PublicKey(raw=raw).fingerprint for raw, _ in pairs)
    if not trust.allow_unsigned:
        reason = f"it is signed by {signers}, which this engine does not trust"
        raise _refused(package, reason, "Add the signer's public key to the trusted keys if you trust it")
    return Verdict("unknown key", signers)


_CHANGED_ADVICE = "It was changed after signing: get it again; in your own folder, sign it anew"
_SIGN_ADVICE = "Sign it with `laneway package sign`, or allow unsigned packages"


def _signatures(package: str, signature: bytes) -> list[tuple[bytes, bytes]]:
    try:
        lines = signature.decode("ascii").splitlines()
    except UnicodeDecodeError:
        lines = [""]
    matches = [_LINE.fullmatch(line) for line in lines[: _MOST_SIGNATURES + 1]]
    if not matches or None in matches or len(matches) > _MOST_SIGNATURES:
        reason = f"SIGNATURE is not 1 to {_MOST_SIGNATURES} lines of `ed25519 KEY SIGNATURE`"
        raise _refused(package, reason, _CHANGED_ADVICE)
    return [(base64.b64decode(match[1]), base64.b64decode(match[2])) for match in matches if match]


def _refused(package: str, reason: str, advice: str) -> SignatureRefused:
    return SignatureRefused(package=package, reason=reason, advice=advice)


def _key_error(path: object, what: str, advice: str) -> PackageUnreadable:
    return PackageUnreadable(package="key", reason=f"{str(path)!r} {what}", advice=advice)


def _private_key(path: Path) -> Ed25519PrivateKey:
    ed25519 = _ed25519()
    try:
        key: Ed25519PrivateKey | None = ed25519.load(path.read_bytes())
    except OSError as error:
        advice = "`laneway package sign --new-key FILE` makes one"
        raise _key_error(path, f"cannot be read ({error.strerror})", advice) from error
    except (ValueError, TypeError) as error:
        raise _key_error(
            path, "is not a private key without a password in PEM form", "Give an Ed25519 key"
        ) from error
    if key is None:
        raise _key_error(path, "is not an Ed25519 key", "`laneway package sign --new-key FILE` makes one")
    return key


def _ed25519() -> ModuleType:
    try:
        from laneway.packages import _ed25519  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        advice = "Install it with `pip install 'laneway[sign]'`"
        raise SigningUnavailable(reason=str(error), advice=advice) from error
    return _ed25519


def _has_cryptography() -> bool:
    try:
        _ed25519()
    except SigningUnavailable:
        return False
    return True


def trusted(keys: Iterable[str | os.PathLike[str]], *, allow_unsigned: bool) -> Trust:
    """Trust in keys that are given as text (`lane-ed25519:...`) or as files with one each.

    Args:
        keys: the public keys whose signatures are accepted.
        allow_unsigned: whether packages run that none of them signed.

    Raises:
        SettingInvalid: keys or switch are of a wrong type.
        PackageUnreadable: one is neither a key nor a file with one.
    """
    if isinstance(keys, (str, bytes)):
        raise _no_trust(
            keys, "keys are a list of texts", 'Use trusted(["ada.key.pub"], allow_unsigned=False)'
        )
    given = [str(key) if isinstance(key, os.PathLike) else key for key in keys]
    if wrong := [key for key in given if not isinstance(key, str)]:
        raise _no_trust(wrong[0], "a key is a text or a file's path", "Use key.text() for a PublicKey")
    return checked_trust(Trust(tuple(map(read_public_key, given)), allow_unsigned))


def checked_trust(given: object) -> Trust:
    """What a program says of its trust, if it is in order.

    Raises:
        SettingInvalid: it is no Trust, or what it holds has a wrong type.
    """
    advice = "Use laneway.packages.trusted(KEYS, allow_unsigned=False), each key a text or its file"
    if not isinstance(given, Trust):
        raise _no_trust(given, "it is no Trust", advice)
    fields: tuple[object, object] = given.keys, given.allow_unsigned  # nothing checked them so far
    if not isinstance(fields[0], tuple):
        raise _no_trust(fields[0], "keys are a tuple of PublicKey", advice)
    for key in fields[0]:
        if not isinstance(key, PublicKey) or not isinstance(key.raw, bytes) or len(key.raw) != _KEY_BYTES:
            raise _no_trust(key, "it is no PublicKey", advice)
    if not isinstance(fields[1], bool):
        raise _no_trust(fields[1], "allow_unsigned is True or False", advice)
    return given


def _no_trust(value: object, reason: str, advice: str) -> SettingInvalid:
    return SettingInvalid(setting="trust", value=value, reason=reason, advice=f"{advice}.")
