"""The sections of a report on where forecasts come from: data and cleaning, training, settings and versions.

Only a forecaster knows these; a file of forecasts has none of them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.splits import PARTS
from pipelines.stock_splits import find_split_cliffs

from ..plotting import plot_history, plot_splits
from ..text import number
from ._figure import Picture
from ._html import Html, pairs, table, tag
from ._sections import Section

if TYPE_CHECKING:
    from ..evaluation.backtest import Backtest
    from ..forecaster import Forecaster

CLIFFS = 10  # series whose split cliffs are named


def data(forecaster: Forecaster, backtest: Backtest) -> Section:
    """Returns what the rows are, how they were cut, and what cleaning found and did."""
    panel, splits = forecaster.panel_, forecaster.splits_
    codes = sorted({calendar.code or "integer steps" for calendar in panel.calendars})
    fingerprint = panel.fingerprint()
    trained = forecaster.manifest_.get("data", {}).get("fingerprint")
    same = "" if not trained else "yes" if trained == fingerprint else "no, others"
    about = pairs(
        [
            ("source", tag("code", forecaster.source_) if forecaster.source_ else "a DataFrame"),
            ("series", f"{len(panel.ids):,}"),
            ("rows", f"{len(panel):,}"),
            ("from", panel.stamp(int(panel.ds.min()))),
            ("to", panel.stamp(int(panel.ds.max()))),
            ("calendar", ", ".join(codes)),
            ("columns", ", ".join(panel.columns)),
            ("same as in training", same),
            ("fingerprint", tag("code", fingerprint[:16])),
        ]
    )
    cut = splits.describe(panel)
    rows = [
        [part, f"{cut[part]['rows']:,}", str(cut[part].get("first", "")), str(cut[part].get("last", ""))]
        for part in PARTS
        if cut[part]["rows"]
    ]
    s = int(backtest.index.series[0])
    picture = Picture(partial(_splits, forecaster, panel.ids[s], backtest.targets[0]))
    cliffs = find_split_cliffs(panel)
    more = [f"... and split cliffs in {len(cliffs) - CLIFFS:,} more series."] if len(cliffs) > CLIFFS else []
    lines = [*str(forecaster.report_).splitlines(), *cliffs[:CLIFFS], *more]
    return Section(
        "data",
        "Data and cleaning",
        [
            about,
            table(["part", "rows", "first", "last"], [[p, r, f, e] for p, r, f, e in rows], label="Parts of the data"),
            picture,
            tag("h3", "Cleaning"),
            tag("ul", *(tag("li", line) for line in lines)),
        ],
    )


def _splits(forecaster: Forecaster, series: str, target: str, ax: Any) -> Any:
    panel, unit = forecaster.panel_, forecaster.unit_
    return plot_splits(panel, forecaster.splits_, series=series, target=target, unit=unit, ax=ax)


def training(forecaster: Forecaster) -> Section | None:
    """Returns how training went; None where nobody knows."""
    run, spec = forecaster.run_, forecaster.config.training
    if run is None:
        return None
    epochs = len(run.history) - 1
    ended = "by Ctrl-C" if run.interrupted else "early" if epochs < spec.epochs else "after all epochs"
    best = run.history.loc[run.history["epoch"] == run.best_epoch, "val_loss"]
    about = pairs(
        [
            ("epochs", f"{epochs} of at most {spec.epochs}"),
            ("ended", ended),
            ("best epoch", str(run.best_epoch)),
            ("its validation loss", number(float(best.iloc[0])) if len(best) else ""),
            ("loss", spec.loss),
            ("learning rate", f"{spec.learning_rate:g}"),
            ("batch size", f"{spec.batch_size:,}"),
            ("weights", f"{forecaster.network_.count_params():,}"),
        ]
    )
    return Section("training", "Training", [about, Picture(partial(_history, forecaster))])


def _history(forecaster: Forecaster, ax: Any) -> Any:
    run: Any = forecaster.run_
    return plot_history(run.history, run.best_epoch, loss=forecaster.config.loss, ax=ax)


def settings(forecaster: Forecaster) -> Section:
    """Returns every setting, and what was saved where, with which versions."""
    manifest = forecaster.manifest_
    saved = pairs(
        [
            ("bundle", f"{manifest['name']}, version {manifest['version']}" if manifest else "not saved"),
            ("created", manifest.get("created", "")),
            ("digest", tag("code", manifest["digest"][:16]) if manifest else ""),
            ("seed", str(forecaster.config.seed)),
            *manifest.get("versions", {}).items(),
        ]
    )
    every = _flat(forecaster.config.model_dump(mode="json"))
    config = tag("details", tag("summary", "All settings"), pairs((name, tag("code", value)) for name, value in every))
    return Section("settings", "Run", [saved, config])


def _flat(config: dict[str, Any], before: str = "") -> list[tuple[str, Html | str]]:
    """Returns settings as `training.epochs` and its value, without those that nobody gave and that have no default."""
    result: list[tuple[str, Html | str]] = []
    for name, value in config.items():
        if isinstance(value, dict):
            result += _flat(value, f"{before}{name}.")
        elif value not in (None, "", [], {}):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            result.append((before + name, shown))
    return result
