"""`forecast report`: one HTML file that says what a bundle, or a file of forecasts, is worth."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import ConfigError

from ._shared import Folder, SomeData, bundle, rows_of, say
from .evaluate import Part

FORECASTS = (".parquet", ".csv")


def report(
    name: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE|BACKTEST",
            help="A bundle, or a file that `forecast backtest --out` wrote: .parquet or .csv.",
        ),
    ],
    data: SomeData = None,
    part: Part = "test",
    stride: Annotated[int, typer.Option(min=1, help="Rows between cutoffs.")] = 1,
    cutoffs: Annotated[int | None, typer.Option(min=1, help="Only the last so many of each series.")] = None,
    interactive: Annotated[
        bool | None,
        typer.Option("--interactive/--static", help="With plotly, or drawn only. [default: where it is installed]"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The report. [default: NAME.html]")] = None,
    folder: Folder = None,
) -> None:
    """Write a report: verdict, scores beside naive, forecasts, errors, intervals, data and training, in one HTML file.

    Example: forecast report goog --out goog.html
    """
    from ..report import of_backtest, of_forecaster

    if name.endswith(FORECASTS):
        if data is not None:
            raise ConfigError(f"A file of forecasts is reported as it is, without other rows. Received: {data}")
        path = of_backtest(name, out or Path(f"{Path(name).stem}.html"), interactive=interactive)
    else:
        model = bundle(name, folder)
        path = of_forecaster(
            model,
            out or Path(f"{model.manifest_['name']}.html"),
            rows_of(model, data),
            interactive=interactive,
            part=part,
            stride=stride,
            cutoffs=cutoffs,
        )
    say(f"report {path}: {path.stat().st_size:,} bytes")
