"""`forecast train`: fit a model, score it beside the naive forecast, save a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.errors import ConfigError

from ._shared import (
    ConfigFile,
    DataArgument,
    ExchangeCalendar,
    Folder,
    Horizon,
    Json,
    Lookback,
    Many,
    Model,
    Preset,
    Quiet,
    Settings,
    Target,
    gathered,
    judgement,
    parse_settings,
    say,
    show_json,
)

if TYPE_CHECKING:
    from ..evaluation.scores import Scores
    from ..forecaster import Forecaster


def train(
    data: DataArgument,
    target: Target = None,
    model: Model = None,
    preset: Preset = None,
    budget: Annotated[
        str | None, typer.Option(help="How long model auto may take, such as 10min. [default: 5min]")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Name of the bundle. [default: after the data]")
    ] = None,
    lookback: Lookback = None,
    horizon: Horizon = None,
    gap: Annotated[int | None, typer.Option(help="Rows skipped between past and future. [default: 0]")] = None,
    predict: Annotated[str | None, typer.Option(help="level or return. [default: level]")] = None,
    feature: Annotated[Many, typer.Option(help="A computed column, such as 'RSI(14)'; give it again for more.")] = None,
    past: Annotated[Many, typer.Option(help="A column known up to the cutoff.")] = None,
    known: Annotated[Many, typer.Option(help="A column known ahead.")] = None,
    static: Annotated[Many, typer.Option(help="A column that is the same in all rows of a series.")] = None,
    quantile: Annotated[
        list[float] | None, typer.Option(help="A quantile to forecast, such as 0.9; give it again for more.")
    ] = None,
    calendar: ExchangeCalendar = None,
    freq: Annotated[str | None, typer.Option(help="A pandas frequency, such as h or D. [default: inferred]")] = None,
    id_col: Annotated[str | None, typer.Option(help="Column that names the series.")] = None,
    time_col: Annotated[str | None, typer.Option(help="Column of stamps.")] = None,
    normalize: Annotated[str | None, typer.Option(help="last, mean_std or none. [default: last]")] = None,
    scaling: Annotated[
        str | None, typer.Option(help="minmax, standard, robust, log1p or none. [default: minmax]")
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(help="Share of rows for intervals, such as 0.1, or the date they start at. [default: 0.1]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many. [default: 100]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows per step. [default: 32]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Adam's. [default: 0.001]")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without gain until it stops. [default: 5]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights and order. [default: 0]")] = None,
    config: ConfigFile = None,
    setting: Settings = None,
    save: Annotated[bool, typer.Option(help="Save a bundle.")] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was killed, to the same weights.")
    ] = False,
    folder: Folder = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fit a model, score it beside the naive forecast, and save a bundle.

    Example: forecast train sample:goog --target Close --horizon 5
    """
    from pipelines.sources import name_of

    from ..stopping import stoppable

    training = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "patience": patience}
    given: dict[str, Any] = {
        "model": {"name": model} if model else None,
        "budget": budget,
        "target": target,
        "lookback": lookback,
        "horizon": horizon,
        "gap": gap,
        "predict": predict,
        "features": feature,
        "past": past,
        "known": known,
        "static": static,
        "quantiles": quantile,
        "calendar": calendar,
        "freq": freq,
        "id_col": id_col,
        "time_col": time_col,
        "normalize": normalize,
        "scaling": {"method": scaling} if scaling else None,
        "split": parse_settings([f"calibration={calibration}"]) if calibration else None,
        "training": {key: value for key, value in training.items() if value is not None} or None,
        "seed": seed,
    }
    settings = gathered(config, setting, given, preset)
    if resume and not save:
        raise ConfigError(
            "`--resume` goes on with a training whose bundle is saved. Received: --no-save. Leave one out."
        )
    with stoppable("Give the same command with --resume: it goes on with what is kept."):
        forecaster, path, scores = trained(data, settings, name or name_of(data), save, folder, quiet, resume)
    if as_json:
        show_json(summary(forecaster, path, scores))
    else:
        if quiet and forecaster.leaderboard_ is not None:
            say(forecaster.leaderboard_)
        show(path, scores)


def trained(
    data: str,
    settings: dict[str, Any],
    name: str,
    save: bool,
    folder: Path | None,
    quiet: bool,
    resume: bool = False,
) -> "tuple[Forecaster, Path | None, Scores | None]":
    """Fits, saves where it is asked to, and scores."""
    from ..bundle import check_place
    from ..config import ForecastConfig
    from ..forecaster import Forecaster
    from ..resuming import place

    forecaster = Forecaster(config=ForecastConfig(**settings))
    if save:
        check_place(name, folder)  # before the training, rather than after
    forecaster.fit(data, quiet=quiet, keep=place(name, folder) if save else None, resume=resume)
    path = forecaster.save(name, folder) if save else None
    return forecaster, path, forecaster.evaluate() if forecaster.splits_.count("test") else None


def show(path: Path | None, scores: "Scores | None") -> None:
    """Prints scores, and where the bundle lies."""
    say(scores or "Nothing was scored: split.test leaves no test rows.")
    if path:
        say(f"bundle  {path}\npicture {path / 'forecast.png'}")


def summary(forecaster: "Forecaster", path: Path | None, scores: "Scores | None") -> dict[str, Any]:
    """Returns the same as plain data."""
    run = forecaster.run_
    return {
        "bundle": path,
        "model": forecaster.config.label,
        "target": list(forecaster.target),
        "seed": forecaster.config.seed,
        "epochs": len(run.history) - 1 if run else 0,
        **({} if forecaster.leaderboard_ is None else {"auto": forecaster.leaderboard_.to_dict()}),
        "part": "test",
        "unit": forecaster.unit_,
        "scores": scores.to_dict() if scores else {},
        **(judgement(scores) if scores else {"verdict": "", "notes": []}),
    }
