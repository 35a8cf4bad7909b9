"""Whose packages an engine runs, said in code: beside the settings, and instead of them."""

from pathlib import Path
from typing import Any

import pytest
from package_folders import make_folder

from laneway import Engine, LanewayError
from laneway._core.errors import PackageUnreadable, SettingInvalid, SignatureRefused
from laneway.front_door import run
from laneway.packages import Trust, build_archive, open_package, trusted
from laneway.packages._record import record_text
from laneway.packages.signing import PublicKey, new_key, sign_record

pytestmark = pytest.mark.usefixtures("own_cache")

CODE = "from laneway import task\n@task\ndef shout(text: str): return text.upper()\n"


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, PublicKey]:
    return {name: new_key(tmp_path / f"{name}.key") for name in ("ada", "bob")}


@pytest.fixture
def archives(tmp_path: Path, keys: dict[str, PublicKey]) -> dict[str, str]:
    """Paths of the same package, signed by each of the keys and by nobody."""
    package = open_package(make_folder(tmp_path / "shop", files={"src/shop_tasks.py": CODE}))
    record = record_text(package.files).encode()
    made = {"nobody": b""} | {name: sign_record(record, tmp_path / f"{name}.key") for name in keys}
    for name, signature in made.items():
        build_archive(package, tmp_path / f"{name}.lane", signature=signature)
    return {name: str(tmp_path / f"{name}.lane") for name in made}


async def test_engine_runs_what_its_trusted_key_signed_and_nothing_else(
    archives: dict[str, str], tmp_path: Path
) -> None:
    trust = trusted([tmp_path / "ada.key.pub"], allow_unsigned=False)
    async with Engine("memory://", workers=1, grace=1, trust=trust) as engine:
        result = await engine.run(archives["ada"], {"text": "abc"})
        assert result.context["shout"] == "ABC"
        for name, reason in (("bob", "does not trust"), ("nobody", "not signed")):
            with pytest.raises(SignatureRefused, match=reason):
                await engine.run(archives[name], {"text": "abc"})
        with pytest.raises(SignatureRefused, match="not signed"):
            await engine.load(str(tmp_path / "shop"))


async def test_trust_in_code_stands_instead_of_the_settings(
    archives: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANEWAY_SIGNED_ONLY", "on")
    monkeypatch.setenv("LANEWAY_TRUSTED_KEYS", str(tmp_path / "bob.key.pub"))
    async with Engine("memory://", workers=1, grace=1) as engine:
        await engine.load(archives["bob"])
        with pytest.raises(SignatureRefused):
            await engine.load(archives["nobody"])
    async with Engine("memory://", workers=1, grace=1, trust=Trust()) as engine:
        await engine.load(archives["nobody"])
    async with Engine("memory://", workers=1, grace=1, trust=Trust(allow_unsigned=False)) as engine:
        for name in archives:
            with pytest.raises(SignatureRefused):
                await engine.load(archives[name])


def test_synchronous_front_door_takes_it_too(archives: dict[str, str], keys: dict[str, PublicKey]) -> None:
    trust = Trust((keys["ada"],), allow_unsigned=False)
    assert run(archives["ada"], {"text": "abc"}, trust=trust, workers=1).context["shout"] == "ABC"
    with pytest.raises(SignatureRefused):
        run(archives["nobody"], {"text": "abc"}, trust=trust)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("ada.key.pub", "it is no Trust"),
        (True, "it is no Trust"),
        ({"keys": []}, "it is no Trust"),
        (Trust, "it is no Trust"),
        (Trust("ada.key.pub"), "keys are a tuple"),  # type: ignore[arg-type]  # what the test is about
        (Trust(["ada.key.pub"]), "keys are a tuple"),  # type: ignore[arg-type]  # what the test is about
        (Trust(("ada.key.pub",)), "no PublicKey"),  # type: ignore[arg-type]  # what the test is about
        (Trust((PublicKey(b"short"),)), "no PublicKey"),
        (Trust((PublicKey("x" * 32),)), "no PublicKey"),  # type: ignore[arg-type]  # what the test is about
        (Trust(allow_unsigned="no"), "True or False"),  # type: ignore[arg-type]  # what the test is about
        (Trust(allow_unsigned=0), "True or False"),  # type: ignore[arg-type]  # what the test is about
    ],
)
def test_wrong_types_are_refused_before_the_engine_opens(wrong: Any, reason: str) -> None:
    with pytest.raises(SettingInvalid, match=reason) as caught:
        Engine("memory://", trust=wrong)
    assert "trust is" in str(caught.value)
    assert "trusted(KEYS" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "error", "reason"),
    [
        ("ada.key.pub", SettingInvalid, "a list of texts"),
        (b"ada.key.pub", SettingInvalid, "a list of texts"),
        ([1], SettingInvalid, "a text or a file's path"),
        ([PublicKey(b"x" * 32)], SettingInvalid, "a text or a file's path"),
        (["no such file"], PackageUnreadable, "neither a public key nor a file"),
    ],
)
def test_keys_of_wrong_types_are_refused(given: Any, error: type[LanewayError], reason: str) -> None:
    with pytest.raises(error, match=reason):
        trusted(given, allow_unsigned=True)
    with pytest.raises(SettingInvalid, match="True or False"):
        trusted([], allow_unsigned="yes")  # type: ignore[arg-type]  # what the test is about
