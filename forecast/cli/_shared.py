"""What commands share: their options, how settings come together, and how results are printed."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import pandas as pd

    from pipelines.registry import Registry

    from ..evaluation.scores import Scores
    from ..forecaster import Forecaster

DataArgument = Annotated[
    str,
    typer.Argument(metavar="DATA", help="A file, folder or glob, or scheme:locator such as sample:goog or yahoo:AAPL."),
]
BundleArgument = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="A bundle's name (its newest version), NAME/VERSION, or a path.")
]
SomeData = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]", help="Rows up to now; by default those that the bundle was trained on, read again."
    ),
]
Many = list[str] | None


def rows_or_auto(text: str) -> int | str:
    """Returns a number of rows, or "auto"; anything else is wrong usage."""
    if text == "auto" or text.lstrip("-").isdigit():
        return text if text == "auto" else int(text)
    raise typer.BadParameter(f"{text!r} is neither a number of rows nor auto.")


Lookback = Annotated[
    Any, typer.Option(parser=rows_or_auto, metavar="ROWS", help="Rows the model sees, or auto. [default: 60]")
]
Target = Annotated[Many, typer.Option("--target", "-t", help="Column to predict; give it again for several.")]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="`forecast models` lists them; auto tries several. [default: lstm]")
]
Preset = Annotated[
    str | None, typer.Option("--preset", "-p", help="Settings with a name, under all others: `forecast presets`.")
]
Horizon = Annotated[int | None, typer.Option(help="Rows one call predicts. [default: 1]")]
ExchangeCalendar = Annotated[str | None, typer.Option(help="An exchange's code, such as XNYS.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="A YAML file with any setting; options go over it.")
]
Settings = Annotated[Many, typer.Option("--set", help="Any other setting, such as split.test=0.1 or model.units=32.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Where bundles lie. [default: saved_models, or $FORECAST_HOME/saved_models]"),
]
Baselines = Annotated[
    list[str] | None,
    typer.Option("--baseline", "-b", help="Score ets, theta or arima, too; give it again for more."),
]
Levels = Annotated[
    str | None, typer.Option(help="Of intervals, in percent, such as 80,95. [default: these, where there are any]")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write the rows to this file: .csv or .parquet.")]


def say(text: object) -> None:
    """Prints a result."""
    print(text)  # noqa: T201


def show_json(value: Any) -> None:
    """Prints one JSON object; numbers that are none become null."""
    from ..bundle._files import plain

    say(json.dumps(plain(value), indent=1, ensure_ascii=False, default=str))


def show_modules(registry: "Registry", details: "Callable[[ModuleType], dict[str, Any]]", as_json: bool) -> None:
    """Prints what a folder holds: each file's name, the first line it says of itself, and some details of it."""
    found: dict[str, dict[str, Any]] = {}
    for name in registry.names():
        module = registry.load(name)
        about = (module.__doc__ or "").strip().splitlines()[0].rstrip(".:")
        found[name] = {"about": about, **details(module)}
    if as_json:
        show_json(found)
        return
    width = max(map(len, found))
    for name, one in found.items():
        say(f"{name:{width}}  {one['about']}")
        for key, value in one.items():
            if key != "about":
                text = (
                    ", ".join(f"{k}={v!r}" for k, v in value.items()) if isinstance(value, dict) else "   ".join(value)
                )
                say(f"{'':{width}}  {key}: {text}")


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Returns settings of `name=value` texts; dots reach into groups, values are YAML.

    Example:
        >>> parse_settings(["training.epochs=5", "features=[day_of_week]"])
        {'training': {'epochs': 5}, 'features': ['day_of_week']}
    """
    import yaml

    result: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"`--set` takes name=value, such as training.patience=10. Received: {pair!r}")
        group = result
        *groups, last = name.strip().split(".")
        for part in groups:
            group = group.setdefault(part, {})
            if not isinstance(group, dict):
                raise ConfigError(f"`--set` takes {part} as a whole or its settings one by one. Received: {pair!r}")
        try:
            group[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"`--set` takes a YAML value. Received: {pair!r}") from None
    return result


def gathered(
    config: Path | None, pairs: list[str] | None, given: dict[str, Any], preset: str | None = None
) -> dict[str, Any]:
    """Returns the settings of a preset, those of a file over them, of `--set` over both, and of options over all.

    Args:
        config: A YAML file.
        pairs: What `--set` took.
        given: Settings of options; None and [] where an option was not given.
        preset: Its name.
    """
    from .. import presets
    from ..config import merge, read_config

    settings = presets.preset(preset) if preset else {}
    for change in (
        read_config(config) if config else {},
        parse_settings(pairs or []),
        {key: value for key, value in given.items() if value not in (None, [])},
    ):
        settings, change = _spelt(settings), _spelt(change)
        old, new = (one.get("model", {}).get("name") for one in (settings, change))
        if old and new and old != new:  # options of another model
            del settings["model"]
        settings = merge(settings, change)
    return settings


def _spelt(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns settings with a model as a mapping, to which options can be added."""
    return {
        key: {"name": value} if key == "model" and isinstance(value, str) else value for key, value in settings.items()
    }


def parse_levels(text: str | None) -> list[float] | None:
    """Returns the levels in "80,95"; None where nothing is given.

    Example:
        >>> parse_levels("80,97.5")
        [80.0, 97.5]
    """
    if text is None:
        return None
    try:
        return [float(level) for level in text.split(",") if level.strip()]
    except ValueError:
        raise ConfigError(
            f"`--levels` takes numbers with commas between them, such as 80,95. Received: {text!r}"
        ) from None


def judgement(scores: "Scores") -> dict[str, Any]:
    """Returns verdict, notes, and what intervals are worth where there are any, for JSON."""
    held = {} if scores.coverage is None else {"coverage": scores.coverage.reset_index().to_dict("records")}
    return {"verdict": scores.verdict, "notes": scores.notes, **held}


def check_picture(path: Path, option: str) -> None:
    """Refuses a picture that cannot be written, before the work for it begins."""
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"`{option}` must end in .png, .svg or .pdf. Received: {path}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"`{option}` must lie in a folder that exists. Received: {path}")


def bundle(name: str, folder: Path | None) -> "Forecaster":
    """Returns the forecaster of a bundle."""
    from ..forecaster import Forecaster

    return Forecaster.load(name, folder)


def rows_of(model: "Forecaster", data: str | None) -> str:
    """Returns the locator to read: the given one, or the one that a bundle was trained on.

    Raises:
        ConfigError: The bundle was trained on a DataFrame, so there is nothing to read again.
    """
    if data is not None:
        return data
    if not model.source_:
        raise ConfigError("This bundle was trained on a DataFrame that cannot be read again. Give DATA.")
    return model.source_


def show_frame(frame: "pd.DataFrame", out: Path | None, as_json: bool) -> None:
    """Prints rows aligned, as JSON, or writes them to a file."""
    if out is not None:
        write_frame(frame, out)
        print(f"{len(frame):,} rows: {out}", file=sys.stderr)  # noqa: T201
    elif as_json:
        show_json(json.loads(frame.to_json(orient="records", date_format="iso")))
    else:
        say(frame.to_string(index=False, max_rows=60))


def write_frame(frame: "pd.DataFrame", out: Path) -> None:
    """Writes rows as CSV or Parquet: whole, or not at all.

    Raises:
        ConfigError: The file's ending is neither, or it cannot be written.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"`--out` must end in .csv or .parquet. Received: {out}")
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        if out.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)
        temporary.replace(out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(
            f"`--out` must be a file that can be written. Received: {out} ({error.strerror or error})."
        ) from None
