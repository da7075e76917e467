"""`forecast quickstart`: the main job on real stock prices that need no network."""

import sys
from typing import Annotated

import typer

from pipelines.errors import ExportError

from ._shared import Folder, Json, say, show_json
from .train import show, summary, trained


def quickstart(
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 0, folder: Folder = None, as_json: Json = False
) -> None:
    """Train an LSTM on Google's prices of 2004 to 2008, score it beside naive, draw, save and export it.

    Example: forecast quickstart
    """
    settings = {"target": ["Close"], "horizon": 5, "seed": seed}
    forecaster, path, scores = trained("sample:goog", settings, "goog", True, folder, quiet=False)
    if not as_json:
        show(path, scores)
    assert path is not None  # noqa: S101  (it was asked to save)
    try:
        report = forecaster.export(path.parent / "edge", "int8", quiet=True)
    except ExportError as error:  # another machine's rounding may train a network that 8 bits are too few for
        print(error, file=sys.stderr)  # noqa: T201
        report = forecaster.export(path.parent / "edge", "int16", quiet=True)
    if as_json:
        show_json({**summary(forecaster, path, scores), "export": report.to_dict()})
    else:
        say(report.line)
