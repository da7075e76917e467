"""The command `forecast`. One file per command; each is one call into the library.

Nothing heavy is imported here: `forecast --help` answers at once, and a command imports what it needs when it runs.
"""

import sys

import typer

from pipelines.errors import ForecastError

from .._keras import own_process
from . import (
    audit,
    backtest,
    bench,
    bundles,
    describe,
    distill,
    ensemble,
    evaluate,
    export,
    fit_to,
    inspect,
    job,
    models,
    plot,
    predict,
    presets,
    quickstart,
    report,
    sources,
    stock,
    train,
    tune,
    update,
)

app = typer.Typer(
    name="forecast",
    help="Forecast time series with recurrent networks, and know whether they beat the naive forecast.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    quickstart,
    train,
    tune,
    update,
    distill,
    ensemble,
    predict,
    evaluate,
    backtest,
    audit,
    plot,
    inspect,
    report,
    stock,
    export,
    fit_to,
    bench,
    describe,
    bundles,
    models,
    presets,
    sources,
):
    command = module.__name__.rpartition(".")[2]
    app.command(command.replace("_", "-"))(getattr(module, command))
app.add_typer(job.app, name="job")


def main(arguments: list[str] | None = None) -> None:
    """Runs a command and exits: 0 for success, 2 for wrong usage, else the code of the error's kind."""
    if arguments is None:
        own_process()
    try:
        app(arguments)
    except ForecastError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
