"""What SQLite reads for the questions that every engine asks again and again: never all runs there ever were."""

import re
import sqlite3
from pathlib import Path

import pytest

from laneway.stores._migrations import migrations
from laneway.stores._sqlite_file import DatabaseFile
from laneway.stores.sql import named

OFTEN = (
    "run_free",
    "runs_claimable",
    "agenda_due",
    "agenda_free",
    "agenda_leases",
    "wishes_of",
    "sweep_find",
    "step_status",
    "events_of",
)


@pytest.mark.parametrize("name", OFTEN)
def test_question_asked_often_does_not_read_all_runs(name: str, tmp_path: Path) -> None:
    file = DatabaseFile(
        tmp_path / "store.db", "sqlite:///store.db", synced=False, migrations=migrations("sqlite"), busy=1.0
    )
    connection = file.connect()
    statement = named("sqlite", "statements")[name]
    by_name = set(re.findall(r":(\w+)", statement))
    values = dict.fromkeys(by_name, "[]") if by_name else ["[]"] * statement.count("?")
    plan = [row[3] for row in connection.execute(f"explain query plan {statement}", values)]
    connection.close()
    read = [line for line in plan if re.match(r"SCAN (run|step|event|above)\b", line)]
    assert plan
    assert read == []


def test_store_of_the_schema_before_gets_its_index_and_loses_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for known in (migrations("sqlite")[:2], migrations("sqlite")):
        DatabaseFile(path, "sqlite:///store.db", synced=False, migrations=known, busy=1.0).connect().close()
    connection = sqlite3.connect(path)
    indexes = {name for (name,) in connection.execute("select name from sqlite_master where type = 'index'")}
    connection.close()
    assert "run_live" in indexes
    assert not {"run_open", "run_workflow"} & indexes
