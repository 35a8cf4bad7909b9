"""Named SQL statements, one file per adapter and purpose; `-- name: x` starts statement x."""

from importlib.resources import files

__all__ = ["named", "script"]


def script(adapter: str, name: str) -> str:
    """The whole text of one SQL file."""
    return (files(__name__) / adapter / f"{name}.sql").read_text("utf-8")


def named(adapter: str, name: str) -> dict[str, str]:
    """The statements of one SQL file by their names."""
    statements: dict[str, str] = {}
    for part in script(adapter, name).split("-- name: ")[1:]:
        label, _, text = part.partition("\n")
        statements[label.strip()] = text.strip().rstrip(";")
    return statements
