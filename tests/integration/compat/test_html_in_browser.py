"""The HTML report in a real browser: it sorts and filters, and nothing is loaded or blocked."""

import html
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from compat_reports import report
from parts import lacking

from laneway.compat.render_html import html_of

SCRIPT = """
<script>
const names = () => [...document.querySelectorAll("#matrix tbody tr")].filter((row) => !row.hidden)
  .map((row) => row.querySelector("b").textContent);
const seen = {first: names()};
const heads = document.querySelectorAll("#matrix th button");
heads[1].click(); seen.sorted = names();
heads[1].click(); seen.reversed = names();
document.querySelector(".card.red").click(); seen.red = names();
document.querySelector(".card.yellow").click(); seen.both = names();
const find = document.getElementById("find");
find.value = "goes on without"; find.dispatchEvent(new Event("input")); seen.found = names();
find.value = "nothing like it"; find.dispatchEvent(new Event("input"));
seen.empty = names().concat(document.getElementById("nothing").hidden ? [] : ["told"]);
document.title = JSON.stringify(seen);
</script>
"""


@pytest.mark.browser
def test_the_report_sorts_and_filters(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        lacking("no browser here")
    page = tmp_path / "report.html"
    page.write_text(html_of(report()).replace("</body>", f"{SCRIPT}</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    outcome = subprocess.run(
        [browser, *options, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    title = outcome.stdout.partition("<title>")[2].partition("</title>")[0]
    seen: dict[str, Any] = json.loads(html.unescape(title))
    assert seen == {
        "first": ["bad", "broken", "slow", "good"],
        "sorted": ["bad", "broken", "good", "slow"],
        "reversed": ["slow", "good", "broken", "bad"],
        "red": ["bad"],
        "both": ["slow", "bad"],
        "found": ["slow"],
        "empty": ["told"],
    }
