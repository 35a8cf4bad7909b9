"""What an index offers: wheels per build of Python, from JSON, HTML and folders, kept for a day."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import uname
from pathlib import Path

import pytest

from laneway.compat._uv import pip_settings
from laneway.compat.index import Index, offer_of

MACHINE = f"manylinux_2_17_{uname().machine}"
FILES = [
    f"thing-1.0-cp314-cp314-{MACHINE}.whl",
    f"thing-2.0-cp314-cp314-{MACHINE}.whl",
    f"thing-2.0-cp314-cp314t-{MACHINE}.whl",
    f"thing-2.0-cp39-abi3-{MACHINE}.whl",
    f"thing-2.0-cp315-abi3.abi3t-{MACHINE}.whl",
    "thing-2.0-cp314-cp314-win_amd64.whl",
    "thing-2.0.tar.gz",
    "thing-3.0rc1-py3-none-any.whl",
    "not a file name",
]


def test_each_build_gets_the_best_wheel_of_its_version() -> None:
    offer = offer_of(FILES, "2.0")
    assert offer.wheels == {"cp314": "cp314", "cp314t": "cp314t", "cp315": "abi3", "cp315t": "abi3t"}
    assert (offer.has_sdist, offer.latest) == (True, "2.0")


def test_an_old_version_has_only_its_own_wheels() -> None:
    assert offer_of(FILES, "1.0").wheels == {"cp314": "cp314"}
    assert not offer_of(FILES, "1.0").has_sdist


def test_a_compiled_wheel_counts_more_than_a_pure_one() -> None:
    files = ["a-1.0-py3-none-any.whl", f"a-1.0-cp314-cp314-{MACHINE}.whl"]
    assert offer_of(files, "1.0").wheels == {
        "cp314": "cp314",
        "cp314t": "pure",
        "cp315": "pure",
        "cp315t": "pure",
    }


class Pages(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        kind, body = {
            "/json/thing/": (
                "application/vnd.pypi.simple.v1+json",
                b'{"files": [{"filename": "thing-1.0-py3-none-any.whl"},'
                b' {"filename": "thing-9.0.tar.gz", "yanked": "bad"}]}',
            ),
            "/html/thing/": (
                "text/html",
                b'<a href="../../files/thing-1.0-py3-none-any.whl#sha256=0">x</a>'
                b'<a href="thing-9.0.tar.gz" data-yanked="">y</a>',
            ),
            "/auth/thing/": ("text/html", b'<a href="thing-1.0-py3-none-any.whl">x</a>'),
        }.get(self.path, ("", b""))
        denied = self.path.startswith("/auth") and self.headers.get("Authorization") != "Basic dXNlcjpwQHNz"
        self.send_response(401 if denied else 200 if kind else 404)
        self.send_header("Content-Type", kind or "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Pages.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["json", "html"])
def test_json_and_html_indexes_are_read_without_yanked_files(server: str, kind: str, tmp_path: Path) -> None:
    offers = Index([f"http://{server}/{kind}"], [], tmp_path).offers({"thing": "1.0", "other": ""})
    assert list(offers) == ["thing"]
    assert (offers["thing"].latest, offers["thing"].wheels["cp314"]) == ("1.0", "pure")


def test_answers_are_kept_also_for_working_offline(server: str, tmp_path: Path) -> None:
    url = f"http://{server}/json/"
    first = Index([url], [], tmp_path).offers({"thing": "1.0"})
    assert Index([url], [], tmp_path).offers({"thing": "1.0"}) == first
    assert Index([url], [], tmp_path, offline=True).offers({"thing": "1.0", "new": ""}) == first
    assert len(Pages.asked) == 1


def test_a_password_in_the_address_is_sent_as_a_header(server: str, tmp_path: Path) -> None:
    assert Index([f"http://user:p%40ss@{server}/auth"], [], tmp_path).offers({"thing": ""})


def test_an_index_that_cannot_be_reached_is_unknown_and_not_an_error(tmp_path: Path) -> None:
    assert Index(["http://127.0.0.1:9/simple"], [], tmp_path).offers({"thing": ""}) == {}


def test_folders_serve_as_indexes_and_as_find_links(tmp_path: Path) -> None:
    (tmp_path / "simple" / "thing").mkdir(parents=True)
    (tmp_path / "simple" / "thing" / "thing-1.0-py3-none-any.whl").touch()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "thing-2.0-py3-none-any.whl").touch()
    index = Index([(tmp_path / "simple").as_uri()], [str(tmp_path / "links")], tmp_path / "cache")
    assert index.offers({"thing": "1.0"})["thing"].latest == "2.0"


def test_pips_settings_are_read_from_its_file_and_its_variables(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://a/simple\nextra-index-url = https://b/simple\n"
    )
    environment = {
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "HOME": str(tmp_path),
        "PIP_INDEX_URL": "https://c/simple",
    }
    found = pip_settings(environment)
    assert found["index-url"] == "https://c/simple"
    assert found["extra-index-url"].endswith("https://b/simple")
