"""`forecast evaluate`: every score beside the naive forecast's."""

from typing import Annotated

import typer

from ._shared import BundleArgument, Folder, Json, SomeData, bundle, coverage_of, rows_of, say, show_json

Part = Annotated[str, typer.Option(help="train, validation, calibration or test.")]


def evaluate(
    name: BundleArgument, data: SomeData = None, part: Part = "test", folder: Folder = None, as_json: Json = False
) -> None:
    """Score a bundle beside the naive forecast, with a verdict.

    Example: forecast evaluate goog
    """
    model = bundle(name, folder)
    scores = model.evaluate(rows_of(model, data), part=part)
    if as_json:
        show_json(
            {
                "model": scores.model,
                "part": part,
                "unit": scores.unit,
                "scores": scores.to_dict(),
                "verdict": scores.verdict,
                **coverage_of(scores),
            }
        )
    else:
        say(scores)
