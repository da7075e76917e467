"""`forecast distill`: a small network learns from a bundle."""

from typing import Annotated, Any

import typer

from ._shared import BundleArgument, Folder, Json, Quiet, SomeData, bundle, parse_settings, rows_of, say, show_json


def distill(
    name: BundleArgument,
    data: SomeData = None,
    student: Annotated[
        str | None,
        typer.Option("--student", "-s", help="A model; `forecast models` lists them. [default: the same, smaller]"),
    ] = None,
    weight: Annotated[float, typer.Option(help="Of the teacher's answer in what is learned, 0 to 1.")] = 0.5,
    share: Annotated[float, typer.Option(help="Most parameters, as a share of the teacher's.")] = 0.25,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the student, such as model.units=16 or training.epochs=9."),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--name", "-n", help="Name of the student's bundle. [default: NAME-student]")
    ] = None,
    alone: Annotated[bool, typer.Option(help="Train the student without its teacher, too, to compare.")] = True,
    folder: Folder = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a small network on what happened and on what a bundle answers, and save it.

    Example: forecast distill goog --student lstm --set model.units=16
    """
    from pipelines.errors import ConfigError

    from ..bundle import check_place
    from ..distilling import distill as run
    from ..stopping import stoppable

    given = parse_settings(setting or [])
    if wrong := sorted(set(given) - {"model", "training"}):
        raise ConfigError(
            f"A student has its own `model` and `training`, all else is its teacher's. Received: --set {wrong[0]}. "
            "Leave it out."
        )
    options: dict[str, Any] = given.get("model", {}) if isinstance(given.get("model", {}), dict) else {}
    if options and student is None:
        raise ConfigError("`--set model...` is of the student that `--student` names. Received: none. Name it.")
    teacher = bundle(name, folder)
    place = out or f"{teacher.manifest_['name']}-student"
    check_place(place, folder)
    with stoppable("Nothing was saved; give the same command again."):
        found = run(
            teacher,
            rows_of(teacher, data),
            None if student is None else {"name": student, **options},
            weight=weight,
            share=share,
            alone=alone,
            quiet=quiet,
            **given.get("training", {}),
        )
        path = found.student.save(place, folder)
    if as_json:
        show_json({**found.to_dict(), "bundle": path})
    else:
        say(f"{found}\nbundle  {path}")
