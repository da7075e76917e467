"""`forecast update`: learn a little from new rows, or from one series, and keep that only where it forecasts better."""

from typing import Annotated

import typer

from ._shared import BundleArgument, Folder, Json, Quiet, SomeData, bundle, rows_of, say, show_json


def update(
    name: BundleArgument,
    data: SomeData = None,
    series: Annotated[
        list[str] | None,
        typer.Option(help="Fine-tune on the training rows of this series instead; give it again for more."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--name", "-n", help="Name of the new bundle. [default: the bundle's; NAME-SERIES with --series]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many. [default: 3; 10 with --series]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Adam's. [default: a tenth of the training's]")] = None,
    guard: Annotated[
        int | None,
        typer.Option(help="Latest rows to judge by. [default: a fifth of those not seen before, 20 or more]"),
    ] = None,
    recent: Annotated[
        int | None, typer.Option(help="Rows before them to learn from. [default: the new ones and as many older ones]")
    ] = None,
    folder: Folder = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Learn a little from rows that came since; the next version is saved where it forecasts better.

    Example: forecast update goog prices.csv
    """
    from pipelines.errors import ConfigError

    from ..bundle import check_place
    from ..stopping import stoppable

    model = bundle(name, folder)
    mine = str(model.manifest_["name"])
    place = out or ("-".join([mine, *series]) if series else mine)
    path = model.path_
    if folder is None and path is not None and path.parent.name == mine:
        folder = path.parent.parent  # beside the version that it was given, which may lie anywhere
    check_place(place, folder)
    steps = {key: value for key, value in (("epochs", epochs), ("learning_rate", learning_rate)) if value is not None}
    if series and (guard or recent):
        raise ConfigError(
            "`--guard` and `--recent` are for new rows; a series is judged by its validation part. Received: both "
            "with --series. Leave them out."
        )
    with stoppable("Nothing was changed; give the same command again."):
        rows = rows_of(model, data)
        if series:
            found = model.fine_tune(series, rows, quiet=quiet, **steps)
        else:
            found = model.update(rows, guard=guard, recent=recent, quiet=quiet, **steps)
        saved = found.forecaster.save(place, folder) if found.accepted else None
    if as_json:
        show_json({**found.to_dict(), "bundle": saved})
    else:
        say(f"{found}\nbundle     {saved or f'none new: {path}'}")
