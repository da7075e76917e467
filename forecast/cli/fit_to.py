"""`forecast fit-to`: the best student of a bundle that fits a device."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._shared import BundleArgument, Folder, Json, Quiet, SomeData, bundle, parse_settings, rows_of, say, show_json


def fit_to(
    name: BundleArgument,
    data: SomeData = None,
    flash: Annotated[str, typer.Option(help="Most bytes of the file, such as 16k.")] = "16k",
    arena: Annotated[
        str | None, typer.Option(help="Most bytes of tensors on TFLite Micro, such as 6k. [default: not measured]")
    ] = None,
    weight: Annotated[float, typer.Option(help="Of the teacher's answer in what is learned, 0 to 1.")] = 0.5,
    series: Annotated[
        str | None, typer.Option(help="Whose scaling goes into the file, where each series has its own.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the student's training, such as training.epochs=9.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A file that ends in .tflite, or a folder. [default: NAME_edge]"),
    ] = None,
    student: Annotated[
        str | None, typer.Option("--name", "-n", help="Name of the student's bundle. [default: NAME-student]")
    ] = None,
    folder: Folder = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find the largest student of a bundle whose file fits a device; distil, save and export it.

    Example: forecast fit-to goog --flash 16k --arena 6k
    """
    from pipelines.errors import ConfigError

    from ..bundle import check_place
    from ..device_fit import fit_to as run
    from ..stopping import stoppable

    given = parse_settings(setting or [])
    if wrong := sorted(set(given) - {"training"}):
        raise ConfigError(
            f"`--set` is of the student's `training` here; its size is what is searched. Received: {wrong[0]}. "
            "Leave it out."
        )
    teacher = bundle(name, folder)
    mine = str(teacher.manifest_["name"])
    place = student or f"{mine}-student"
    check_place(place, folder)
    options: dict[str, Any] = {} if series is None else {"series": series}
    with stoppable("Nothing was saved; give the same command again."):
        found = run(
            teacher,
            flash,
            arena,
            path=out or Path(f"{mine}_edge"),
            data=rows_of(teacher, data),
            name=place,
            folder=folder,
            weight=weight,
            quiet=quiet,
            training=given.get("training"),
            **options,
        )
    if as_json:
        show_json({**found.to_dict(), "bundle": found.forecaster.path_})
    else:
        say(f"{found}\nbundle     {found.forecaster.path_}")
