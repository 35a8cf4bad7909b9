"""What stands for an artifact in JSON, and what can go wrong with one. Standard library only."""

# The values of strangers have no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from laneway._core.errors import LanewayError
from laneway._core.untyped import Any

__all__ = [
    "MARK",
    "PREFIX",
    "ArtifactDamaged",
    "ArtifactError",
    "ArtifactMissing",
    "ArtifactTooLarge",
    "checked_media_type",
    "named",
]

MARK = b'"$artifact"'
"""In the JSON of every reference."""

PREFIX = "sha256:"
"""Begins every artifact's hash."""


class ArtifactError(LanewayError):
    """An artifact cannot be made, kept or read."""

    code = "LW-ART-000"


class ArtifactTooLarge(ArtifactError):
    """An artifact is larger than this engine allows."""

    code = "LW-ART-001"
    template = "an artifact of more than {limit_mib:g} MiB is not allowed here. Split it, or raise LANEWAY_ARTIFACT_MIB"


class ArtifactMissing(ArtifactError):
    """There is no such artifact."""

    code = "LW-ART-002"
    template = "artifact {hash} is not there ({where}). {advice}"


class ArtifactDamaged(ArtifactError):
    """The bytes are not the ones that were kept."""

    code = "LW-ART-003"
    template = (
        "artifact {hash} is damaged: {where} has other content. Restore it from a backup, or run the step that made it "
        "again"
    )


def named(value: Any) -> tuple[str, int, str] | None:
    """Digest, size and media type if `value` is a reference, else None.

    Exactly the three keys of a reference, with values of their kinds, make one; every other value is plain data.
    """
    if type(value) is not dict or len(value) != 3:
        return None
    name, size, media_type = value.get("$artifact"), value.get("size"), value.get("media_type")
    if type(name) is not str or type(size) is not int or type(media_type) is not str or size < 0:
        return None
    digest = name[len(PREFIX) :]
    if len(digest) != 64 or not name.startswith(PREFIX) or digest.strip("0123456789abcdef"):
        return None
    return digest, size, media_type


def checked_media_type(media_type: Any) -> str:
    """The media type, if it is one; else TypeError or ValueError."""
    if not isinstance(media_type, str):
        raise TypeError(
            f"artifact(media_type=...) takes a text such as 'image/png', not {type(media_type).__name__}"
        )
    if not (
        0 < media_type.find("/") < len(media_type) - 1 < 255
        and media_type.isprintable()
        and media_type.isascii()
    ):
        raise ValueError(f"artifact(media_type={media_type[:80]!r}) is no media type: 'image/png' is one")
    return str(media_type)
