"""Cuts a panel in time order: train, validation (early stopping), calibration (intervals), test.

    dates      |---------- train ----------|-- validation --|-- calibration --|---- test ----|
    series A   oooooooooooooooooooooooooooo ooooooooooooooooo oooooooooooooooooo ooooooooooooooo
    series B              ooooooooooooooooo ooooooooooooooooo oooooooooooooooooo oooooooo

Series with dates are all cut at the same dates, so that no series knows what another's test will bring; series with
integer stamps are cut each at its own tail. A window belongs to the part that holds its whole future
(`pipelines/windows.py`), so no training window's future reaches into validation.
"""

import datetime
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, ValidationInfo, field_validator, model_validator

from .errors import ConfigError, DataError
from .panel import Panel
from .spec import Spec

PARTS = ("train", "validation", "calibration", "test")

Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class SplitSpec(Spec):
    """How large each part is: a fraction of all rows, a number of rows, or the date (or integer stamp) it starts at.

    Rows are counted back from the end: of each series where stamps are integers, else of all stamps there are.

    Attributes:
        validation: Rows for early stopping.
        calibration: Rows for intervals; 0 for none. By default a tenth, and none where the others are rows or dates.
        test: Rows that nothing is fitted on.

    Example:
        >>> SplitSpec(validation="2016-01-01", test="2017-01-01")
        SplitSpec(validation='2016-01-01', calibration=0.0, test='2017-01-01')
        >>> SplitSpec(validation=48, test=48)  # hours of an hourly series
        SplitSpec(validation=48, calibration=0.0, test=48)
    """

    validation: Share | Count | str = 0.1
    calibration: Share | Count | str = 0.1
    test: Share | Count | str = 0.2

    @model_validator(mode="before")
    @classmethod
    def _none_unasked(cls, given: Any) -> Any:
        """Leaves calibration empty where nobody asked for it, and rows, dates or large fractions leave it no place."""
        if not isinstance(given, dict) or "calibration" in given:
            return given
        sizes = [size for name, size in given.items() if name in PARTS and not isinstance(size, bool)]
        fractions = [size for size in sizes if isinstance(size, int | float) and size < 1]
        fits = len(fractions) == len(sizes) and sum(fractions) < 0.9
        return given if fits else {**given, "calibration": 0.0}

    @field_validator("validation", "calibration", "test", mode="before")
    @classmethod
    def _fraction_or_start(cls, size: Any, about: ValidationInfo) -> Any:
        if isinstance(size, datetime.date):  # YAML reads a date that stands without quotes
            return size.isoformat()
        number = isinstance(size, int | float) and not isinstance(size, bool)
        if isinstance(size, str) or (number and (0 <= size < 1 or (isinstance(size, int) and size >= 1))):
            return size
        raise ValueError(
            f"`{about.field_name}` must be a fraction from 0 to below 1, a whole number of rows, or the stamp it "
            f"starts at as text. Received: {size!r}"
        )

    @model_validator(mode="after")
    def _agree(self) -> "SplitSpec":
        sizes = [getattr(self, part) for part in PARTS[1:]]
        fractions = [size for size in sizes if not isinstance(size, str) and 0 < size < 1]
        counts = [size for size in sizes if not isinstance(size, str) and size >= 1]
        dates = [size for size in sizes if isinstance(size, str)]
        if sum(map(bool, (fractions, counts, dates))) > 1:
            raise ValueError(
                "`validation`, `calibration` and `test` are all fractions, all numbers of rows, or all dates they "
                f"start at. Received: {', '.join(map(repr, sizes))}"
            )
        if sum(fractions) >= 1:
            raise ValueError(
                f"The fractions must leave rows for training. Received: {sum(fractions):g} in all. "
                f"Lower one of validation, calibration and test: {', '.join(map(repr, sizes))}"
            )
        return self


@dataclass(frozen=True, eq=False)
class Splits:
    """Where each series is cut.

    Attributes:
        bounds: Row numbers `(S, 5)`: part `p` of series `s` is rows `[bounds[s, p], bounds[s, p + 1])`.
        starts: The stamp that each part starts at, by part; None where series are cut each at its own tail.
        tails: The stamps that validation, calibration and test start at in each series, where it has its own.
    """

    bounds: np.ndarray
    starts: dict[str, int] | None
    tails: dict[str, list[int]] = field(default_factory=dict)

    def rows(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns first and end row of a part in each series, `(S,)` each.

        Raises:
            ConfigError: There is no such part.
        """
        if part not in PARTS:
            raise ConfigError(f"`part` must be one of {', '.join(PARTS)}. Received: {part!r}")
        p = PARTS.index(part)
        return self.bounds[:, p], self.bounds[:, p + 1]

    def learned(self) -> "Splits":
        """Returns the same cuts with the validation rows in the training part."""
        bounds = self.bounds.copy()
        bounds[:, 1] = bounds[:, 2]
        return Splits(bounds, None, {})

    def count(self, part: str) -> int:
        """Returns the rows of a part over all series."""
        first, end = self.rows(part)
        return int((end - first).sum())

    def describe(self, panel: Panel) -> dict[str, dict[str, Any]]:
        """Returns rows and first and last stamp of each part, for people and the manifest."""
        result = {}
        for part in PARTS:
            first, end = self.rows(part)
            full = np.flatnonzero(end > first)
            about: dict[str, Any] = {"rows": self.count(part)}
            if len(full):
                about["first"] = str(panel.stamp(int(panel.ds[first[full]].min())))
                about["last"] = str(panel.stamp(int(panel.ds[end[full] - 1].max())))
            result[part] = about
        return result


def split(
    panel: Panel,
    spec: SplitSpec | None = None,
    starts: dict[str, int] | None = None,
    tails: dict[str, list[int]] | None = None,
) -> Splits:
    """Returns where to cut each series of a panel.

    Args:
        spec: How large each part is.
        starts: Where the parts of other data started, to cut these rows at the same stamps.
        tails: The same for series with integer stamps, each by its name; others are cut at their own tail.

    Raises:
        ConfigError: Dates are given for integer stamps, cannot be read, or are not in order.
        DataError: Nothing is left for training.

    Example:
        >>> days = pd.date_range("2024-01-01", periods=10)
        >>> panel = Panel.from_frame(pd.DataFrame({"y": np.arange(10.0)}, index=days))
        >>> split(panel).bounds
        array([[ 0,  6,  7,  8, 10]])
    """
    spec = spec or SplitSpec()
    sizes = [getattr(spec, part) for part in PARTS[1:]]
    S = len(panel.ids)
    bounds = np.empty((S, 5), np.int64)
    bounds[:, 0], bounds[:, 4] = panel.offsets[:-1], panel.offsets[1:]
    by_date, given = any(isinstance(size, str) for size in sizes), bool(starts or tails)
    ends: dict[str, list[int]] = {}
    if starts is not None or by_date or panel.dated:
        if starts is not None:
            cuts = [starts[part] for part in PARTS[1:]]
        else:
            cuts = _given(panel, sizes) if by_date else _common(panel, sizes)
        starts = dict(zip(PARTS[1:], cuts, strict=True))
        for s in range(S):
            ds = panel.ds[panel.rows(s)]
            bounds[s, 1:4] = panel.offsets[s] + np.searchsorted(ds, cuts, side="left")
    else:
        for s, count in enumerate(np.diff(panel.offsets).tolist()):
            bounds[s, 1:4] = panel.offsets[s] + np.array(_from_end(count, sizes))
        for s, name in enumerate(panel.ids):
            ds = panel.ds[panel.rows(s)]
            if tails and name in tails:
                bounds[s, 1:4] = panel.offsets[s] + np.searchsorted(ds, tails[name], side="left")
            inside = bounds[s, 1:4] - panel.offsets[s]
            ends[name] = [int(ds[i]) if i < len(ds) else int(ds[-1]) + 1 for i in inside]
    splits = Splits(bounds, starts, ends)
    if not splits.count("train") and not given:
        raise DataError(
            f"Some rows must lie before validation and test, for training. Received: {len(panel):,} rows, none before "
            f"the first cut. Choose smaller fractions or later dates in `split`."
        )
    return splits


def before(panel: Panel, splits: Splits, cuts: np.ndarray, rolling: bool = False) -> Splits:
    """Returns the split of a backtest's fold: nothing is known from row `cuts[s]` on, and the parts end there.

        splits    |------ train ------|-- validation --|-- calibration --|------ test ------|
        fold      |---------- train ----------|-- validation --|-- calibration --| cut
        rolling           |------ train ------|-- validation --|-- calibration --| cut

    Validation and calibration keep their lengths: in dates common to all series where they are cut at common dates, in
    rows of each series where each has its own tail. So does train, where it rolls; else it grows.

    Args:
        panel: The rows.
        splits: How they are cut at first.
        cuts: The first unknown row of each series `(S,)`.
        rolling: Keep the length of train.

    Raises:
        DataError: No row is left for training.
    """
    bounds = np.empty_like(splits.bounds)
    bounds[:, 3], bounds[:, 4] = cuts, splits.bounds[:, 4]
    if splits.starts is not None:
        stamps = np.unique(panel.ds)
        old = np.searchsorted(stamps, [splits.starts[part] for part in PARTS[1:]])
        known = bounds[:, 3] > panel.offsets[:-1]
        moved = np.searchsorted(stamps, panel.ds[bounds[known, 3] - 1].max(initial=stamps[0])) + 1 - old[2]
        places = np.clip([moved if rolling else 0, *(old[:2] + moved)], 0, len(stamps) - 1)
        for p, place in enumerate(places):
            for s in range(len(panel.ids)):
                bounds[s, p] = panel.offsets[s] + np.searchsorted(panel.ds[panel.rows(s)], stamps[place])
    else:
        lengths = np.diff(splits.bounds, axis=1)  # (S, 4)
        bounds[:, 2] = bounds[:, 3] - lengths[:, 2]
        bounds[:, 1] = bounds[:, 2] - lengths[:, 1]
        bounds[:, 0] = bounds[:, 1] - lengths[:, 0] if rolling else splits.bounds[:, 0]
    bounds[:, :3] = np.clip(bounds[:, :3], panel.offsets[:-1, None], bounds[:, 3:4])
    fold = Splits(bounds, None, {})
    if not fold.count("train"):
        raise DataError(
            "Some rows must lie before the first cutoff's validation and calibration, for training. Received: none. "
            "Start the backtest later, or choose smaller fractions in `split`."
        )
    return fold


def _common(panel: Panel, sizes: list[float]) -> list[int]:
    """The stamps that leave the wanted fraction of all rows behind them, or so many stamps."""
    if max(sizes) >= 1:
        ordered = np.unique(panel.ds)
    else:
        ordered = panel.ds if len(panel.ids) == 1 else np.sort(panel.ds)
    R = len(ordered)
    return [int(ordered[at]) if at < R else int(ordered[-1]) + 1 for at in _from_end(R, sizes)]


def _from_end(count: int, sizes: list[float]) -> list[int]:
    """Returns where parts start among so many rows, given as fractions or as numbers of rows.

    Example:
        >>> _from_end(100, [0.1, 0, 0.2]), _from_end(100, [10, 0, 24])
        ([70, 80, 80], [66, 76, 76])
    """
    tail, cuts = 0.0, []
    for size in reversed(sizes):
        tail += size
        cuts.append(round(count * (1 - tail)) if max(sizes) < 1 else max(count - int(tail), 0))
    return cuts[::-1]


def _given(panel: Panel, sizes: list[Any]) -> list[int]:
    cuts: list[int | None] = []
    cut: int | None
    for part, size in zip(PARTS[1:], sizes, strict=True):
        if not isinstance(size, str):
            cuts.append(None)
            continue
        try:
            if panel.dated:
                stamp = pd.Timestamp(size)
                if pd.isna(stamp):
                    raise ValueError("no date")
                cut = int(stamp.as_unit("ns").value)
                if stamp.tz is None:
                    cut = int(panel.calendars[0].utc(np.array([cut]))[0])
            else:
                cut = int(size)
        except ValueError:
            kind = "a date" if panel.dated else "an integer stamp, because the series have no dates"
            raise ConfigError(
                f"`split.{part}` must be a fraction, a number of rows, or {kind}. Received: {size!r}"
            ) from None
        cuts.append(cut)
    after = int(panel.ds.max()) + 1
    result: list[int] = []
    for cut in reversed(cuts):  # a part that is not given is empty: it starts where the next one does
        after = after if cut is None else cut
        result.insert(0, after)
    if result != sorted(result):
        raise ConfigError(
            f"Parts follow each other: validation, calibration, test. Received: {', '.join(map(repr, sizes))}"
        )
    return result
