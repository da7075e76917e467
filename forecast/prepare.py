"""From whatever a user hands in to a clean panel: the first half of every command.

"prices.csv" | "yahoo:AAPL" | DataFrame | Panel  ->  columns that are needed  ->  Panel  ->  cleaned, with a report
"""

import inspect
import os
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pipelines import sources
from pipelines.calendars import Calendar
from pipelines.cleaning import CleaningReport, clean
from pipelines.errors import ConfigError, DataError, UnknownName
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline

from .config import ForecastConfig

Data = str | os.PathLike[str] | pd.DataFrame | pd.Series | Panel


@dataclass(frozen=True)
class Prepared:
    """Clean rows of the columns that a forecast needs.

    Attributes:
        panel: The rows; targets first.
        target: Names of the targets.
        report: What was found and done.
        source: The locator they came from, "" for a DataFrame.
    """

    panel: Panel
    target: tuple[str, ...]
    report: CleaningReport
    source: str


def prepare(data: Data, config: ForecastConfig, target: tuple[str, ...] = ()) -> Prepared:
    """Returns clean rows of any accepted data.

    Args:
        data: A locator, a DataFrame in any layout, or a Panel.
        config: Names the columns, the calendar and the cleaning policy.
        target: The targets of a model that is trained already; by default the config's.

    Raises:
        ConfigError: No target is given and there are several columns.
        UnknownName: A column is missing.
        DataError: The rows cannot be used as they are.
        SourceError: The source failed.
    """
    target = target or config.target
    if isinstance(data, Panel):
        columns, source = data.columns, ""
        target = target or _only(columns)
        needed = _needed(config, target, columns)
        panel = data if set(needed) <= set(columns) and data.mapped else data.select(needed)
        panel = _dated_as(panel, config)
    else:
        data = os.fspath(data) if isinstance(data, os.PathLike) else data
        if not isinstance(data, str | pd.DataFrame | pd.Series):
            raise DataError(
                f"Data must be a locator such as 'prices.csv', a DataFrame, a Series or a Panel. Received: "
                f"{type(data).__name__}. Put arrays into a DataFrame with a DatetimeIndex."
            )
        frame, options = load_rows(data, config)
        source = sources.absolute(data if isinstance(data, str) else str(frame.attrs.get("source", "")))
        columns = value_columns(frame, options["id_col"], options["time_col"])
        target = target or _only(columns)
        panel = Panel.from_frame(frame, columns=_needed(config, target, columns), **options)
    panel, report = clean(panel, config.cleaning)
    return Prepared(panel, target, report, source)


def remembered(panel: Panel) -> dict[str, Any]:
    """Returns the settings `freq` or `calendar` that date later rows as these are dated."""
    codes = {name: calendar.code for name, calendar in zip(panel.ids, panel.calendars, strict=True)}
    if not panel.dated:
        return {}
    if len(set(codes.values())) > 1:
        return {"calendar": codes}
    return {"calendar" if panel.calendars[0].is_exchange else "freq": panel.calendars[0].code}


def _dated_as(panel: Panel, config: ForecastConfig) -> Panel:
    """Returns the panel with the calendars that the settings ask for; its own where they ask for none."""
    chosen = config.freq or config.calendar
    if not chosen:
        return panel
    if not panel.dated:
        raise ConfigError(f"Integer stamps have no freq or calendar. Received: {chosen!r}. Leave it out.")
    codes = dict.fromkeys(panel.ids, chosen) if isinstance(chosen, str) else chosen
    pairs = zip(panel.ids, panel.calendars, strict=True)
    return replace(panel, calendars=tuple(Calendar(codes.get(name, own.code), own.zone) for name, own in pairs))


def value_columns(frame: pd.DataFrame, id_col: str | None, time_col: str | None) -> tuple[str, ...]:
    """Returns the columns that are neither stamps nor names of series."""
    if frame.columns.nlevels == 2:  # yfinance: (price, ticker)
        return Panel.from_frame(frame.iloc[-2:]).columns
    other = {id_col or frame.attrs.get("id_col", "unique_id"), time_col or frame.attrs.get("time_col", "ds")}
    return tuple(str(c) for c in frame.columns if c not in other)


def load_rows(
    data: str | pd.DataFrame | pd.Series, config: ForecastConfig, **more: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Returns rows, and what `Panel.from_frame` has to be told of them: a source finds its own columns.

    Args:
        more: Other options, for a source that has them.
    """
    options = config.panel_options()
    if isinstance(data, pd.Series):
        return data.to_frame(data.name if data.name is not None else "y"), options
    if not isinstance(data, str):
        return data, options
    takes = inspect.signature(sources.registry.load(sources.split_locator(data)[0]).load).parameters
    own = {name: options[name] for name in ("id_col", "time_col") if options[name] is not None and name in takes}
    more = {name: value for name, value in more.items() if name in takes}
    return sources.load(data, **own, **more), {name: None if name in own else value for name, value in options.items()}


def _only(columns: tuple[str, ...]) -> tuple[str, ...]:
    if len(columns) == 1:
        return columns
    raise ConfigError(f"`target` must say which column to predict. Choose from: {', '.join(columns)}")


def _needed(config: ForecastConfig, target: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, ...]:
    needed = DataPipeline(config.pipeline(target)).needs(columns)
    for name in needed:
        if name not in columns:
            raise UnknownName.of("column", name, columns)
    return needed
