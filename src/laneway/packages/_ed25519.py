"""The only place that imports `cryptography`, an optional dependency (extra `sign`)."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

__all__ = ["check", "generate", "load", "pem_of"]


def check(public: bytes, signature: bytes, message: bytes) -> bool:
    """True when `signature` over `message` was made by the owner of `public`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature, ValueError:
        return False
    return True


def generate() -> Ed25519PrivateKey:
    """A new private key."""
    return Ed25519PrivateKey.generate()


def pem_of(key: Ed25519PrivateKey) -> bytes:
    """A private key as PEM, PKCS 8, without a password."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load(pem: bytes) -> Ed25519PrivateKey | None:
    """The Ed25519 key in a PEM text, or None where it holds something else.

    Raises:
        ValueError, TypeError: not a private key, or one with a password.
    """
    key = load_pem_private_key(pem, None)
    return key if isinstance(key, Ed25519PrivateKey) else None
