"""What the fuzzer found worth keeping stays harmless."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FUZZ = Path(__file__).parents[3] / "fuzz"


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_packages", FUZZ / "fuzz_packages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["manifest", "archive"])
def test_every_kept_input_is_read_or_refused(name: str, fuzzer: ModuleType) -> None:
    inputs = [path.read_bytes() for path in (FUZZ / "corpus" / name).iterdir()]
    assert inputs
    for data in inputs:
        fuzzer.TARGETS[name](data)


def test_fuzzer_notices_what_is_no_package_error(fuzzer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        raise KeyError(data)

    monkeypatch.setattr(fuzzer, "read_manifest", broken)
    with pytest.raises(KeyError):
        fuzzer.TARGETS["manifest"](b"x")
