"""Which windows train, validate, calibrate, and are scored; and what to say where there are none.

part                      past            future
train, validation         no NaN          no NaN
calibration               no NaN          at least one value to learn from
scored (any part)         no NaN          at least one value to score
"""

from typing import Any

import numpy as np

from pipelines.cleaning import CleaningReport
from pipelines.errors import ConfigError, DataError
from pipelines.pipeline import DataPipeline, Rows
from pipelines.splits import Splits
from pipelines.windows import WindowIndex, index_windows


def training_windows(pipeline: DataPipeline, rows: Rows, splits: Splits, report: CleaningReport) -> WindowIndex:
    """Returns the windows to train on; series without any are named in the report.

    Raises:
        SeriesTooShort: No series is long enough.
        DataError: Missing values leave no window.
    """
    spec, panel = pipeline.spec.window, rows.panel
    first, end = splits.rows("train")
    index = index_windows(panel.offsets, spec, (first, end), rows.missing(), _unknown(pipeline, rows, np.any))
    if not len(index):
        longest, warmup = _longest(splits, "train"), pipeline.warmup
        if longest - warmup < spec.width:
            share = splits.count("train") / len(panel) if splits.starts or splits.tails else 1.0  # a fold only grows
            of = f" of training ({100 * share:.0f} % of all)" if share < 1 else " of training"
            of += " in the longest series"
            of += f" after the {warmup} rows that features take to warm up" if warmup else ""
            raise spec.too_short(max(longest - warmup, 0), of, share)
        empty = [name for name, none in zip(pipeline.inputs_, np.isnan(rows.inputs).all(axis=0), strict=True) if none]
        if empty:
            raise DataError(
                f"Every input must hold numbers. Received: only missing values in {', '.join(map(repr, empty))}, "
                "and infinite ones count as missing. Repair the column, or choose another."
            )
        raise DataError(
            f"One window of {spec.width} rows without missing values must lie in the training rows. Received: "
            f"{int(rows.missing().sum()):,} of {len(panel):,} rows have missing inputs. Raise cleaning.fill_limit, "
            'choose cleaning.gaps="keep", or shorten the lookback.'
        )
    for s in sorted(set(range(len(panel.ids))) - set(np.unique(index.series).tolist())):
        needs = f"a window needs {spec.width} complete rows before validation"
        report.add(
            panel.ids[s],
            "rows in a series without a training window",
            int(panel.offsets[s + 1] - panel.offsets[s]),
            needs,
            "not trained on",
        )
    return index


def validation_windows(pipeline: DataPipeline, rows: Rows, splits: Splits) -> WindowIndex:
    """Returns the windows for early stopping.

    Raises:
        DataError: There is none.
    """
    spec = pipeline.spec.window
    part, unknown = splits.rows("validation"), _unknown(pipeline, rows, np.any)
    index = index_windows(rows.panel.offsets, spec, part, rows.missing(), unknown)
    if not len(index):
        raise DataError(
            f"Early stopping needs a window whose future of {spec.horizon} rows lies in validation. Received: "
            f"{_most(splits, 'validation')}. {_more(splits, 'validation', spec.horizon)}"
        )
    return index


def calibration_windows(pipeline: DataPipeline, rows: Rows, splits: Splits) -> WindowIndex:
    """Returns the windows that intervals are learned from; there may be none."""
    return _with_truth(pipeline, rows, splits, "calibration", stride=1)


def scored_windows(
    pipeline: DataPipeline, rows: Rows, splits: Splits, part: str, stride: int = 1, cutoffs: int | None = None
) -> WindowIndex:
    """Returns the windows of a part to score.

    Args:
        stride: Rows between cutoffs.
        cutoffs: Only the last so many of each series.

    Raises:
        DataError: There is none.
    """
    index, spec = _with_truth(pipeline, rows, splits, part, stride), pipeline.spec.window
    if cutoffs is not None:
        if cutoffs < 1:
            raise ConfigError(f"`cutoffs` must be an integer >= 1. Received: {cutoffs}")
        from_end = np.concatenate([np.arange(n)[::-1] for n in np.bincount(index.series, minlength=1)])
        index = index[from_end < cutoffs]
    if not len(index):
        advice = _more(splits, part, spec.horizon)
        if part == "test" and not splits.count(part):
            advice = "Give later rows, which the weights do not know; or raise split.test and fit again."
        raise DataError(
            f"The {part} part must hold one window: a future of {spec.horizon} rows, and {spec.lookback} rows without "
            f"missing values before it. Received: {_most(splits, part)}. {advice}"
        )
    return index


def _most(splits: Splits, part: str) -> str:
    """Returns how many rows a part has, in the series that has most of them."""
    series = len(splits.bounds)
    return f"{_longest(splits, part)} {part} rows" + f" in the longest of {series:,} series" * (series > 1)


def _more(splits: Splits, part: str, horizon: int) -> str:
    """Returns what makes a part hold a window."""
    few = _longest(splits, part) < horizon
    return f"Raise split.{part}" + f" to {horizon} rows" * few + ", or give more rows."


def _longest(splits: Splits, part: str) -> int:
    first, end = splits.rows(part)
    return int((end - first).max())


def _with_truth(pipeline: DataPipeline, rows: Rows, splits: Splits, part: str, stride: int) -> WindowIndex:
    """Returns the windows of a part that have at least one true value."""
    spec, unknown = pipeline.spec.window.replace(stride=stride), _unknown(pipeline, rows, np.all)
    return index_windows(rows.panel.offsets, spec, splits.rows(part), rows.missing(), unknown, "any")


def _unknown(pipeline: DataPipeline, rows: Rows, how: Any) -> Any:
    """Returns where nobody measured `any` or `all` of the targets, `(R,)`."""
    columns = [rows.panel.column(name) for name in pipeline.spec.targets]
    return how(np.isnan(rows.panel.values[:, columns]), axis=1)
