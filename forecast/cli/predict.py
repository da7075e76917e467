"""`forecast predict`: the next rows of each series, with their real dates."""

import sys
from typing import Annotated

import typer

from ._shared import BundleArgument, Folder, Json, Levels, Out, SomeData, bundle, parse_levels, rows_of, show_frame


def predict(
    name: BundleArgument,
    data: SomeData = None,
    steps: Annotated[int | None, typer.Option(help="Rows to forecast. [default: the horizon]")] = None,
    future: Annotated[
        str | None, typer.Option(help="Known covariates of the rows ahead: a file with ds and their columns.")
    ] = None,
    levels: Levels = None,
    out: Out = None,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Forecast the next rows of each series.

    Example: forecast predict goog --steps 5 --levels 80,95
    """
    from pipelines import sources

    model = bundle(name, folder)
    ahead = sources.load(future) if future else None
    frame = model.predict(steps, data=rows_of(model, data), future=ahead, levels=parse_levels(levels))
    show_frame(frame, out, as_json)
    for kind, meaning in (
        ("cold", "not seen in training, scaled by their own rows"),
        ("provisional", "dated beyond the exchange's known calendar"),
    ):
        if frame.attrs[kind]:
            print(f"{len(frame.attrs[kind])} series {meaning}: {', '.join(frame.attrs[kind][:5])}", file=sys.stderr)  # noqa: T201
    if beyond := frame.attrs.get("uncalibrated"):
        print(f"no intervals beyond the horizon, from step {beyond[0]} on", file=sys.stderr)  # noqa: T201
