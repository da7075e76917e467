"""`forecast quickstart`: the main job on real stock prices that need no network."""

from typing import Annotated

import typer

from ._shared import Folder, Json
from .train import train


def quickstart(
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 0, folder: Folder = None, as_json: Json = False
) -> None:
    """Train an LSTM on Google's prices of 2004 to 2008, score it beside naive, draw and save it.

    Example: forecast quickstart
    """
    train("sample:goog", target=["Close"], name="goog", horizon=5, seed=seed, folder=folder, as_json=as_json)
