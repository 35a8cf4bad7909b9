"""Which files are native code, and which module importing one of them would make. Cheap to import."""

from importlib.machinery import EXTENSION_SUFFIXES

__all__ = ["is_native", "module_of"]

_LIBRARY_FOLDERS = (".libs", ".dylibs")
_TAGS = ("cpython-", "abi3.", "abi3t.", "cp3")


def is_native(path: str) -> bool:
    """Whether a path relative to its distribution is native code: an extension module or a library."""
    name = path.rpartition("/")[2]
    return not path.startswith("../") and (name.endswith((".so", ".pyd", ".dylib")) or ".so." in name)


def module_of(path: str) -> str | None:
    """The module that importing this file would make, or None for a plain library."""
    folder, _, name = path.rpartition("/")
    suffix = _suffix(name)
    stem = name.removesuffix(suffix) if suffix else ""
    parts = [*folder.split("/"), stem] if folder else [stem]
    if not suffix or not all(part.isidentifier() for part in parts):
        return None
    if any(part.endswith(_LIBRARY_FOLDERS) for part in parts) or name.endswith(".dylib"):
        return None
    return ".".join(parts[:-1] if stem == "__init__" and len(parts) > 1 else parts)


def _suffix(name: str) -> str:
    """The extension-module suffix that a file name has, of this or another interpreter; empty if it has none."""
    base, dot, rest = name.partition(".")
    if base and rest.startswith(_TAGS) and rest.endswith((".so", ".pyd")):
        return f"{dot}{rest}"
    return next((suffix for suffix in EXTENSION_SUFFIXES if name.endswith(suffix)), "")
