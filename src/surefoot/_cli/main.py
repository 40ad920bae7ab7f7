"""The command: its options, its exit codes, and its way of saying what went wrong."""

import sys
from typing import Annotated

import typer

import surefoot
from surefoot._cli import demo, diagnose, find, report, schedule, show, sweep
from surefoot._cli.output import complain
from surefoot.errors import SurefootError

__all__ = ["app", "run"]

app = typer.Typer(
    name="surefoot",
    help="Find, schedule, watch and diagnose the learning rate of neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.command)
app.command("find")(find.command)
app.command("sweep")(sweep.command)
app.command("show")(show.command)
app.command("diagnose")(diagnose.command)
app.command("schedule")(schedule.command)
app.command("report")(report.command)

USAGE, FAILED = 2, 1


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"surefoot {surefoot.__version__}")
        raise typer.Exit


@app.callback()
def main(
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Find, schedule, watch and diagnose the learning rate of neural networks."""


def run(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0 done, 2 bad input, 1 anything else.

    Args:
        arguments: instead of the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = ["--debug"] * debug + [word for word in words if word != "--debug"]
    try:
        app(words, prog_name="surefoot")
    except SurefootError as error:
        if debug:
            raise
        complain(str(error))
        sys.exit(USAGE)
    except Exception as error:
        if debug:
            raise
        complain(f"{type(error).__name__}: {error}\nRun again with --debug for the traceback.")
        sys.exit(FAILED)
