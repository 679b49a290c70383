"""The command line. Each file of this folder holds some commands; torch is imported by those that compute, when they run."""

from __future__ import annotations

import sys

import typer

from workbench.cli import backbone, bench, look, make, serve, sweep, tables

app = typer.Typer(
    name="workbench",
    help="Continual learning of language models with energy-based replay: train, look, compare.\n\n"
    "Start with [bold]workbench train[/bold], then [bold]workbench app[/bold].",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for room in (make, sweep, backbone, look, tables, serve, bench):
    room.register(app)


def main() -> None:
    """Run a command. What a user can mend is one sentence on standard error and exit code 1; a bug keeps its trace."""
    try:
        app()
    except ValueError as error:
        if not type(error).__module__.startswith("workbench."):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(0)
