"""`forecast backtest`: scored forecasts from successive cutoffs."""

import json
from typing import Annotated

import typer

from ._shared import (
    BundleArgument,
    Folder,
    Json,
    Out,
    SomeData,
    bundle,
    coverage_of,
    rows_of,
    say,
    show_json,
    write_frame,
)
from .evaluate import Part


def backtest(
    name: BundleArgument,
    data: SomeData = None,
    part: Part = "test",
    stride: Annotated[int, typer.Option(min=1, help="Rows between cutoffs.")] = 1,
    cutoffs: Annotated[int | None, typer.Option(min=1, help="Only the last so many of each series.")] = None,
    by: Annotated[str | None, typer.Option(help="Scores per step, series or cutoff.")] = None,
    out: Out = None,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Forecast from successive cutoffs, and score each.

    Example: forecast backtest goog --by step --out forecasts.csv
    """
    model = bundle(name, folder)
    result = model.backtest(rows_of(model, data), part=part, stride=stride, cutoffs=cutoffs)
    table = result.by(by) if by else result.scores.table
    if out is not None:
        write_frame(result.frame(), out)
    if as_json:
        rows = json.loads(table.reset_index().to_json(orient="records"))
        show_json(
            {
                "model": result.model,
                "part": part,
                "unit": result.unit,
                "cutoffs": len(result.index),
                "scores": rows,
                "verdict": result.scores.verdict,
                **coverage_of(result.scores),
            }
        )
        return
    say(table.round(4).to_string(max_rows=80) if by else result.scores)
    if by:
        say(result.scores.verdict)
    if out is not None:
        say(f"forecasts {out}")
