"""`checkpoints`, also `python -m checkpoints`: look at runs from outside, check them, mend them, keep them."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from checkpoints import cli_keep, cli_look, cli_mend
from checkpoints.errors import CheckpointError
from checkpoints.exitcodes import exit_code, sentence


class Commands(TyperGroup):
    """Translates errors, here and nowhere else, into one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader has seen enough; the library ends quietly
        except (CheckpointError, OSError) as error:
            typer.echo(f"checkpoints: {sentence(error)}", err=True)
            raise typer.Exit(exit_code(error)) from None


app = typer.Typer(cls=Commands, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _commands() -> None:
    """Look at the runs of an evaluation, check and repair them, take them elsewhere, throw them away."""


for module in (cli_look, cli_mend, cli_keep):
    module.register(app)
