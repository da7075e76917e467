"""`forecast evaluate`: every score beside the naive forecast's."""

from typing import Annotated

import typer

from ._shared import Baselines, BundleArgument, Folder, Json, SomeData, bundle, judgement, rows_of, say, show_json

Part = Annotated[str, typer.Option(help="train, validation, calibration or test.")]


def evaluate(
    name: BundleArgument,
    data: SomeData = None,
    part: Part = "test",
    baseline: Baselines = None,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Score a bundle beside the naive forecast, with a verdict.

    Example: forecast evaluate goog
    """
    model = bundle(name, folder)
    scores = model.evaluate(rows_of(model, data), part=part, baselines=baseline or ())
    if as_json:
        show_json(
            {
                "model": scores.model,
                "part": part,
                "unit": scores.unit,
                "scores": scores.to_dict(),
                **judgement(scores),
            }
        )
    else:
        say(scores)
