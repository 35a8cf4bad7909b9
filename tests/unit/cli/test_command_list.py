"""The list of commands, which `laneway --help` prints without importing any."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from laneway.cli._main import COMMANDS, LazyGroup, laneway

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_listed_command_is_there_and_begins_with_a_sentence(name: str) -> None:
    module, _, attribute = COMMANDS[name].home.partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.help
    assert command.name == name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    text = "".join(page.read_text("utf-8") for page in sorted(REFERENCE.glob("*.md")))
    assert f"`laneway {name}" in text
    if name == "package":
        return  # its options are on the manifest's and the packages' pages
    module, _, attribute = COMMANDS[name].home.partition(":")
    command = getattr(import_module(module), attribute)
    commands = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for one in commands:
        for option in one.params:
            if isinstance(option, click.Option):
                assert any(f"`{spelling}" in text for spelling in option.opts), f"{one.name} {option.opts}"


def test_help_imports_neither_the_engine_nor_rich() -> None:
    code = (
        "import sys\n"
        "from laneway.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "print([name for name in ('rich', 'rich_click', 'msgspec', 'asyncio', 'laneway.app') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_is_refused_and_a_known_one_is_imported_only_when_named() -> None:
    assert isinstance(laneway, LazyGroup)
    context = click.Context(laneway)
    assert laneway.get_command(context, "nonsense") is None
    stand_in = laneway.get_command(context, "run")
    assert stand_in is not None
    assert stand_in.params == []
    _, real, _ = laneway.resolve_command(context, ["run", "x"])
    assert real is not None
    assert {option.name for option in real.params} >= {"target", "store", "as_json"}


def test_ctrl_c_while_the_commands_are_read_leaves_no_traceback() -> None:
    code = (
        "import sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'rich_click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "from laneway.cli import main\n"
        "sys.exit(main(['doctor', '--help']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "laneway: stopped\n")
