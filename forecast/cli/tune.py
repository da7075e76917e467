"""`forecast tune`: settings that forecast better, found by trying, in a study that goes on where it was left."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.errors import ConfigError

from ._shared import (
    ConfigFile,
    DataArgument,
    ExchangeCalendar,
    Horizon,
    Json,
    Lookback,
    Model,
    Preset,
    Quiet,
    Settings,
    Target,
    check_picture,
    gathered,
    say,
    show_json,
)


def tune(
    data: DataArgument,
    target: Target = None,
    model: Model = None,
    preset: Preset = None,
    lookback: Lookback = None,
    horizon: Horizon = None,
    calendar: ExchangeCalendar = None,
    epochs: Annotated[int | None, typer.Option(help="Of a trial, at most so many. [default: 100]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order, and what is tried. [default: 0]")] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="How many there are to be in the study, with those of earlier runs.")
    ] = 30,
    study: Annotated[
        Path | None,
        typer.Option(
            "--study", "-s", help="The study's file; the same command goes on with it. [default: after the data, .db]"
        ),
    ] = None,
    space: Annotated[
        Path | None, typer.Option(help="A YAML file that says what to try. [default: what --show-space prints]")
    ] = None,
    show_space: Annotated[bool, typer.Option("--show-space", help="Print what would be tried, and stop.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which no other trial begins.")] = None,
    config: ConfigFile = None,
    setting: Settings = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the best settings to this YAML file, for `train`.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the trials into this .png, .svg or .pdf.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Try settings, each scored on the same validation rows, and write the best ones for `forecast train`.

    The first trial are the settings as they are. The test part is never looked at.

    Example: forecast tune sample:goog --target Close --trials 30 --out best.yaml
    """
    from pipelines.sources import name_of

    from .. import tuning
    from ..stopping import stoppable

    given: dict[str, Any] = {
        "model": {"name": model} if model else None,
        "target": target,
        "lookback": lookback,
        "horizon": horizon,
        "calendar": calendar,
        "training": {"epochs": epochs} if epochs else None,
        "seed": seed,
    }
    settings = gathered(config, setting, given, preset)
    if show_space:
        stated = tuning.search_space(data, settings, space)
        show_json(stated.plain()) if as_json else say(stated)
        return
    if plot:
        check_picture(plot, "--plot")
    if out and not out.absolute().parent.is_dir():
        raise ConfigError(f"`--out` must lie in a folder that exists. Received: {out}")
    path = study or Path(f"{name_of(data)}.db")
    with stoppable("What is done is kept; the same command goes on."):
        tuned = tuning.tune(data, settings, trials=trials, storage=path, space=space, timeout=timeout, quiet=quiet)
    if out:
        tuned.write(out)
    if plot:
        from ..plotting import write_trials

        write_trials(tuned, plot)
    if as_json:
        show_json(tuned.to_dict())
        return
    say(tuned)
    if out:
        say(f"best    {out}: forecast train {data} --config {out}")
    if plot:
        say(f"picture {plot}")
