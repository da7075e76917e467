"""`forecast audit`: whether the future leaks into forecasts."""

from typing import Annotated

import typer

from pipelines.errors import DataError

from ._shared import BundleArgument, Folder, Json, SomeData, bundle, rows_of, say, show_json


def audit(
    name: BundleArgument,
    data: SomeData = None,
    series: Annotated[int, typer.Option(min=1, help="At most so many series are tried.")] = 8,
    cutoffs: Annotated[int, typer.Option(min=1, help="How many cutoffs each check tries.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of series, cutoffs and changes.")] = 0,
    retrain: Annotated[bool, typer.Option("--retrain", help="Fit again, too: slow.")] = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Change the future and see whether forecasts move; what leaks is named, and the exit code is then 65.

    Example: forecast audit goog
    """
    from ..evaluation.audit import audit as look

    model = bundle(name, folder)
    found = look(model, rows_of(model, data), series=series, cutoffs=cutoffs, seed=seed, retrain=retrain)
    if as_json:
        show_json(found.to_dict())
    else:
        say(found)
    if not found.passed:
        raise typer.Exit(DataError.exit_code)
