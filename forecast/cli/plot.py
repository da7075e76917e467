"""`forecast plot`: a picture of a bundle and its data."""

from pathlib import Path
from typing import Annotated

import typer

from ._shared import BundleArgument, Folder, SomeData, bundle, check_picture, rows_of, say


def plot(
    name: BundleArgument,
    data: SomeData = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            "-k",
            help="forecast, fit, history, gradients, leaderboard, error_by_step, splits, moves, intervals, coverage, "
            "inside.",
        ),
    ] = "forecast",
    series: Annotated[str | None, typer.Option(help="Which series. [default: the first]")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture: .png, .svg or .pdf.")] = Path("forecast.png"),
    folder: Folder = None,
) -> None:
    """Draw a picture: the forecast against ground truth, the training history, the error by step, ...

    Example: forecast plot goog --kind error_by_step --out errors.png
    """
    check_picture(out, "--out")
    from .. import plotting

    model = bundle(name, folder)
    model = model.attach(rows_of(model, data))
    plotting.write(model, out, kind, **({"series": series} if series else {}))
    say(f"picture {out}")
