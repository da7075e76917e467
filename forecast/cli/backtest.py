"""`forecast backtest`: scored forecasts from successive cutoffs."""

import json
from typing import Annotated

import typer

from ._shared import (
    Baselines,
    BundleArgument,
    Folder,
    Json,
    Levels,
    Out,
    Quiet,
    SomeData,
    bundle,
    judgement,
    parse_levels,
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
    refit: Annotated[
        str, typer.Option(help="never, always, or after how many cutoffs a model is fitted again.")
    ] = "never",
    window: Annotated[
        str, typer.Option(help="Rows of refits: expanding (all so far) or rolling (as many as at first).")
    ] = "expanding",
    warm_start: Annotated[bool, typer.Option(help="Start refits from the weights of the one before.")] = False,
    levels: Levels = None,
    baseline: Baselines = None,
    cutoffs: Annotated[int | None, typer.Option(min=1, help="Only the last so many of each series.")] = None,
    by: Annotated[str | None, typer.Option(help="Scores per step, series or cutoff.")] = None,
    out: Out = None,
    folder: Folder = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Forecast from successive cutoffs, and score each; with --refit, by models that are fitted on the way.

    Example: forecast backtest goog --by step --out forecasts.csv
    """
    model = bundle(name, folder)
    result = model.backtest(
        rows_of(model, data),
        part=part,
        stride=stride,
        cutoffs=cutoffs,
        levels=parse_levels(levels),
        baselines=baseline or (),
        refit=int(refit) if refit.lstrip("-").isdigit() else refit,
        window=window,
        warm_start=warm_start,
        quiet=quiet,
    )
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
                "how": result.how,
                **judgement(result.scores),
            }
        )
        return
    say(table.round(4).to_string(max_rows=80) if by else result.scores)
    if by:
        say("\n".join([result.scores.verdict, *result.scores.notes]))
    if out is not None:
        say(f"forecasts {out}")
