"""`python -m laneway.packages.schema` prints the manifest's JSON Schema, as published in the reference."""

import json
import sys

from laneway.packages.manifest import manifest_schema

__all__ = ["schema_text"]


def schema_text() -> str:
    """The JSON Schema of `laneway.toml` as indented JSON."""
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
