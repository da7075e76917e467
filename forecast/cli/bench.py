"""`forecast bench`: how fast an exported file answers on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import ConfigError

from ._shared import Json, say, show_json


def bench(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite file of `forecast export`, or its folder.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads of the interpreter.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.01, help="How long to measure.")] = 2.0,
    as_json: Json = False,
) -> None:
    """Measure how long one forecast of an exported file takes here.

    Example: forecast bench goog_edge/model.tflite
    """
    from .. import edge
    from ..text import aligned

    try:
        found = edge.bench(edge.load(file / "model.tflite" if file.is_dir() else file, threads), seconds)
    except edge.EdgeError as error:  # of a file that imports nothing of ours; its exit code is the same
        raise ConfigError(str(error)) from None
    if as_json:
        show_json(found)
        return
    note = found.pop("note", "")
    rows = [[key, f"{value:,.1f} us" if isinstance(value, float) else f"{value}"] for key, value in found.items()]
    say(aligned(rows))
    if note:
        say(note)
