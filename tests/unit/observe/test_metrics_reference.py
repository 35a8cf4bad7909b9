"""The reference page, the dashboard and the code name the same metrics."""

import ast
import json
import re
from pathlib import Path

import pytest
from prometheus_client.core import Metric as Family

from laneway.observe import metrics as module
from laneway.observe.metrics import METRICS, EngineMetrics, LiveFigures
from laneway.ports import LaneHealth

ROOT = Path(__file__).resolve().parents[3]
ROW = re.compile(r"^\| `(laneway_\w+)` \| (\w+) \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)


def documented() -> dict[str, tuple[str, str, tuple[str, ...], str]]:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
    return {
        name: (kind, "" if unit == "-" else unit, tuple(re.findall(r"`(\w+)`", labels)), meaning)
        for name, kind, unit, labels, meaning in ROW.findall(text)
    }


def test_the_reference_lists_every_metric_as_it_is() -> None:
    assert documented() == {one.name: (one.type, one.unit, one.labels, one.help) for one in METRICS.values()}


def names_in_the_code() -> set[str]:
    """Every metric name that the module spells out; those it puts together are in the test by hand."""
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    made = {f"laneway_backpressure_{one}_total" for one in ("waits", "refusals")}
    ends = ("capacity", "used", "holders", "waiting", "longest_wait_seconds", "granted_total")
    made |= {f"laneway_pool_{one}" for one in ends}
    return {text for text in texts if re.fullmatch(r"laneway_\w+[a-z]", text)} | made


def test_every_metric_is_fed_and_none_is_fed_that_is_not_listed() -> None:
    assert names_in_the_code() == set(METRICS)


def test_names_follow_the_rules_of_prometheus() -> None:
    for one in METRICS.values():
        assert one.name.endswith("_total") == (one.type == "counter"), one.name
        if one.unit == "seconds":
            assert one.name.endswith("_seconds"), one.name
        assert not {"run", "run_id", "id", "key", "step", "task"} & set(one.labels), one.name
        assert one.help.endswith("."), one.name


@pytest.fixture
def families() -> dict[str, Family]:
    health = LaneHealth("thread", [{"worker": "w"}], 2, 1, 1, 3)
    pools = {"gpu": {"capacity": 2.0, "used": 1.0, "waiting": 4.0}}
    made = EngineMetrics(lambda: LiveFigures(1, 1, [health], pools))
    collected: dict[str, Family] = {family.name: family for family in made.registry.collect()}
    return collected


def test_a_closed_engine_has_no_live_figures(families: dict[str, Family]) -> None:
    assert "laneway_lane_workers" not in families  # nobody attached it to a loop
    assert families["laneway_runs_live"].samples[0].value == 0


async def test_restarts_never_go_back() -> None:
    import asyncio

    restarts = [5]
    made = EngineMetrics(lambda: LiveFigures(0, 0, [LaneHealth("process", [], 0, 0, 0, restarts[0])]))
    made.attach(asyncio.get_running_loop())

    def total() -> float | None:
        return made.registry.get_sample_value("laneway_lane_restarts_total", {"lane": "process"})

    assert total() == 5
    restarts[0] = 0  # a package with its workers was retired
    assert total() == 5
    restarts[0] = 2
    assert total() == 7


def queries() -> list[str]:
    board = json.loads((ROOT / "dashboards" / "laneway.json").read_text("utf-8"))
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    found += [one["query"]["query"] for one in board["templating"]["list"] if isinstance(one["query"], dict)]
    return found


def test_every_query_of_the_dashboard_uses_metrics_and_labels_that_exist() -> None:
    for query in queries():
        used = re.findall(r"laneway_\w+", query)
        assert used, query
        for name in used:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            known = METRICS.get(name) or METRICS.get(base)
            assert known is not None, name
            assert (base != name) == (known.type == "histogram"), f"{name} in {query}"
            grouped = re.search(r"sum by \(([^)]*)\)", query)
            labels = set(re.findall(r"\w+", grouped.group(1))) if grouped else set()
            assert labels <= {*known.labels, "le"}, query


def test_the_dashboard_shows_every_metric() -> None:
    used = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for query in queries()
        for name in re.findall(r"laneway_\w+", query)
    }
    assert set(METRICS) - used == {"laneway_attempts_total"}


def test_panels_do_not_overlap() -> None:
    board = json.loads((ROOT / "dashboards" / "laneway.json").read_text("utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
