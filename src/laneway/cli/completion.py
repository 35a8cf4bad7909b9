"""`laneway completion`: the script that makes a shell complete the command line."""

import rich_click as click
from click.shell_completion import get_completion_class

from laneway.cli._options import debug_option

__all__ = ["completion"]

_HOW = {
    "bash": 'Add to ~/.bashrc: eval "$(laneway completion bash)"',
    "zsh": 'Add to ~/.zshrc: eval "$(laneway completion zsh)"',
    "fish": "Save as ~/.config/fish/completions/laneway.fish",
}


@click.command()
@click.argument("shell", type=click.Choice([*_HOW]))
@debug_option
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL: bash, zsh or fish."""
    known = get_completion_class(shell)
    if known is None:
        raise click.UsageError(f"there is no completion for {shell}")
    script = known(ctx.find_root().command, {}, "laneway", "_LANEWAY_COMPLETE").source()
    click.echo(f"# {_HOW[shell]}")
    click.echo(script)
