"""What stands for an artifact, and how one process makes and reads them."""

import gc
import hashlib
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from laneway import Artifact, artifact
from laneway._core.artifacts import ArtifactDamaged, ArtifactMissing, ArtifactTooLarge, named
from laneway.artifacts import Desk, plain, with_handles
from laneway.engine.artifact_references import digests_in

DIGEST = "0123456789abcdef" * 4
REFERENCE = {"$artifact": f"sha256:{DIGEST}", "size": 5, "media_type": "text/plain"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(f"{tmp_path}/objects", f"{tmp_path}/staging/worker")


def files(tmp_path: Path) -> list[str]:
    return sorted(one.name for one in tmp_path.rglob("*") if one.is_file())


@pytest.mark.parametrize(
    "value",
    [
        {**REFERENCE, "more": 1},
        {key: value for key, value in REFERENCE.items() if key != "size"},
        {**REFERENCE, "size": True},
        {**REFERENCE, "size": -1},
        {**REFERENCE, "size": 1.0},
        {**REFERENCE, "media_type": None},
        {**REFERENCE, "$artifact": DIGEST},
        {**REFERENCE, "$artifact": f"sha256:{DIGEST[:-1]}"},
        {**REFERENCE, "$artifact": f"sha256:{DIGEST[:-1]}G"},
        {**REFERENCE, "$artifact": f"sha256:{DIGEST.upper()}"},
        {**REFERENCE, "$artifact": f"sha256:../../../{DIGEST[9:]}"},
        [*REFERENCE],
        f"sha256:{DIGEST}",
        None,
    ],
)
def test_only_the_exact_form_is_a_reference(value: Any) -> None:
    assert named(value) is None
    assert named(REFERENCE) == (DIGEST, 5, "text/plain")


def test_digests_are_found_in_encoded_json_and_not_in_its_texts() -> None:
    other = {**REFERENCE, "$artifact": f"sha256:{'f' * 64}"}
    text = json.dumps({"a": [REFERENCE, {"deep": other}], "text": json.dumps(REFERENCE).replace("0", "1")})
    assert digests_in([text.encode(), b"{}", json.dumps(REFERENCE, separators=(",", ":")).encode()]) == [
        DIGEST,
        "f" * 64,
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        bytearray(b"hello"),
        memoryview(b"hello"),
        memoryview(b"-h-e-l-l-o")[1::2].tobytes(),
        io.BytesIO(b"hello"),
    ],
)
def test_bytes_and_files_of_every_kind_become_artifacts(desk: Desk, data: Any) -> None:
    made = desk.make(data, "text/plain")
    assert made.digest == hashlib.sha256(b"hello").hexdigest()
    assert (made.size, made.read(), made.media_type) == (5, b"hello", "text/plain")


def test_large_data_is_copied_piece_by_piece(desk: Desk, tmp_path: Path) -> None:
    body = os.urandom(3_000_001)
    (tmp_path / "body").write_bytes(body)
    for data in (body, tmp_path / "body", io.BytesIO(body)):
        assert desk.make(data, "a/b").digest == hashlib.sha256(body).hexdigest()


def test_what_is_too_large_is_refused_before_and_while_it_is_copied(tmp_path: Path) -> None:
    desk = Desk(f"{tmp_path}/objects", f"{tmp_path}/staging", 1000)

    class Endless:
        read_bytes = 0

        def read(self, size: int) -> bytes:
            self.read_bytes += size
            return bytes(size)

    endless = Endless()
    for data in (bytes(1001), io.BytesIO(bytes(1001)), endless):
        with pytest.raises(ArtifactTooLarge, match="LANEWAY_ARTIFACT_MIB"):
            desk.make(data, "a/b")
    assert endless.read_bytes < 10_000_000
    assert desk.make(bytes(1000), "a/b").size == 1000
    gc.collect()
    assert files(tmp_path) == []


def test_failure_half_way_leaves_no_file(desk: Desk, tmp_path: Path) -> None:
    class Breaks:
        def read(self, size: int) -> bytes:
            if self.pieces:
                raise OSError("the disk is gone")
            self.pieces += 1
            return b"x" * size

        pieces = 0

    with pytest.raises(OSError, match="the disk is gone"):
        desk.make(Breaks(), "a/b")
    assert files(tmp_path) == []


def test_dropped_handle_takes_its_file_along_unless_it_was_handed_over(desk: Desk, tmp_path: Path) -> None:
    kept, dropped = desk.make(b"kept", "a/b"), desk.make(b"dropped", "a/b")
    assert len(files(tmp_path)) == 2
    reference = kept.reference
    assert files(tmp_path)[0] != dropped.digest
    del dropped, kept
    gc.collect()
    assert files(tmp_path) == [reference["$artifact"].removeprefix("sha256:")]


def test_handle_reads_on_wherever_its_file_moves(desk: Desk, tmp_path: Path) -> None:
    made = desk.make(b"moving", "a/b")
    assert made.read() == b"moving"
    assert made.reference["size"] == 6
    assert made.read() == b"moving"
    place = Path(desk.place(made.digest))
    place.parent.mkdir(parents=True)
    (tmp_path / "staging" / "worker" / made.digest).rename(place)
    assert (made.read(), made.path) == (b"moving", place)


def test_path_of_what_is_kept_stays_while_somebody_else_hands_the_same_over(
    desk: Desk, tmp_path: Path
) -> None:
    kept = Path(desk.place(desk.make(b"same", "a/b").digest))
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"same")
    again = desk.make(b"same", "a/b")
    assert again.reference
    assert (tmp_path / "staging" / "worker" / again.digest).is_file()
    assert again.path == kept


def test_each_file_is_read_through_once_until_it_changes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made = desk.make(b"checked", "a/b")
    seen: list[str] = []
    digest = hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        seen.append(file.name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    for _ in range(3):
        assert made.read() == b"checked"
    assert len(seen) == 1
    path = made.path
    path.write_bytes(b"changed")
    with pytest.raises(ArtifactDamaged, match="has other content"):
        made.read()
    path.unlink()
    with pytest.raises(ArtifactMissing, match="together with its database"):
        made.open()


def test_values_are_dressed_with_handles_and_stripped_of_them(tmp_path: Path) -> None:
    value = {
        "one": dict(REFERENCE),
        "list": [1, dict(REFERENCE), {"deep": dict(REFERENCE)}],
        "plain": {"size": 5},
    }
    dressed = with_handles(value)
    assert isinstance(dressed["one"], Artifact)
    assert dressed["list"][1] == dressed["list"][2]["deep"] == dressed["one"]
    assert dressed["plain"] == {"size": 5}
    back = plain(dressed)
    assert back["one"] == back["list"][1] == back["list"][2]["deep"] == REFERENCE
    assert isinstance(dressed["one"], Artifact), "the original stays as it is"
    assert isinstance(with_handles(dict(REFERENCE)), Artifact)


def test_value_that_contains_itself_is_left_to_the_check() -> None:
    value: list[Any] = [artifact(b"x")]
    value.append(value)
    assert isinstance(plain(value), list)


def test_handles_are_values(desk: Desk) -> None:
    one, other = desk.make(b"same", "a/b"), desk.make(b"same", "a/b")
    assert one == other
    assert len({one, other}) == 1
    assert one != desk.make(b"same", "a/c")
    assert one != "same"
    assert repr(one) == "Artifact(sha256:0967115f2813…, 4 bytes, a/b)"


@pytest.mark.parametrize("media_type", ["png", "/png", "image/", "image/\n", "bild/ä", "a/" + "b" * 300])
def test_media_types_that_are_none_are_refused(desk: Desk, media_type: str) -> None:
    with pytest.raises(ValueError, match="is no media type"):
        desk.make(b"", media_type)
    with pytest.raises(TypeError, match="takes a text"):
        artifact(b"", media_type=5)  # type: ignore[arg-type]  # that is the point


def test_many_threads_make_artifacts_at_once(desk: Desk, tmp_path: Path) -> None:
    made: list[Artifact] = []

    def work(number: int) -> None:
        for one in range(50):
            found = desk.make(b"%d" % (one % 5), "a/b")
            assert found.read() == b"%d" % (one % 5)
            found.reference  # noqa: B018 - hands it over
            made.append(found)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 400
    assert len(files(tmp_path)) == 5
