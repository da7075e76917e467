"""`forecast export`: a bundle as a small file that runs without TensorFlow."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._shared import BundleArgument, Folder, Json, Quiet, SomeData, bundle, rows_of, say, show_json


def export(
    name: BundleArgument,
    data: SomeData = None,
    quantize: Annotated[str, typer.Option(help="int8, float32, float16, dynamic or int16.")] = "int8",
    layout: Annotated[str, typer.Option(help="fused, unrolled, step, or auto: measures them and chooses.")] = "auto",
    device: Annotated[
        str, typer.Option("--for", help="What auto chooses for: mcu (the smallest) or pi (the fastest).")
    ] = "mcu",
    io: Annotated[
        str | None, typer.Option(help="float32: original units go in and come out. int8: the host scales.")
    ] = None,
    state: Annotated[str, typer.Option(help="windowed, or streaming: one row a call.")] = "windowed",
    series: Annotated[
        str | None, typer.Option(help="Whose scaling goes into the file, where each series has its own.")
    ] = None,
    max_degradation: Annotated[
        float | None, typer.Option(help="Largest loss of accuracy beside Keras. [default: 0.02]")
    ] = None,
    max_core_error: Annotated[
        float | None, typer.Option(help="Largest error of the network's own answers. [default: 0.1]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the training windows that integers are fitted to.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A file that ends in .tflite, or a folder. [default: NAME_edge]"),
    ] = None,
    folder: Folder = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a bundle as a .tflite file that gives the same answers as Keras, or no file.

    Example: forecast export goog --out goog_edge
    """
    model = bundle(name, folder)
    limits = {"max_degradation": max_degradation, "max_core_error": max_core_error}
    given: dict[str, Any] = {"layout": layout, "device": device, "io": io, "state": state, "series": series}
    given |= {"seed": seed, **{key: value for key, value in limits.items() if value is not None}}
    out = out or Path(f"{model.manifest_['name']}_edge")
    report = model.export(out, quantize, data=rows_of(model, data), quiet=quiet, **given)
    if as_json:
        show_json(report.to_dict())
    else:
        say(report)
