"""`forecast ensemble`: several bundles as one."""

from typing import Annotated

import typer

from ._shared import Folder, Json, Quiet, bundle, rows_of, show_json


def ensemble(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new bundle.")],
    members: Annotated[
        list[str], typer.Argument(metavar="BUNDLE...", help="At least two, trained on the same rows: goog/1 goog/2 ...")
    ],
    combine: Annotated[str, typer.Option(help="median or mean of what they answer.")] = "median",
    data: Annotated[
        str | None, typer.Option("--data", help="Their rows. [default: those of the first one, read again]")
    ] = None,
    folder: Folder = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make one bundle of several: it predicts, backtests and exports as one network, and is scored beside naive.

    Example: forecast ensemble three goog/1 goog/2 goog/3
    """
    from ..bundle import check_place
    from ..ensembles import ensemble_of
    from .train import show, summary

    check_place(name, folder)
    models = [bundle(one, folder) for one in members]
    together = ensemble_of(models, combine, rows_of(models[0], data))
    path = together.save(name, folder)
    scores = together.evaluate() if together.splits_.count("test") else None
    if as_json:
        show_json(summary(together, path, scores))
    elif not quiet:
        show(path, scores)
