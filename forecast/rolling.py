"""Forecasts the rows after each series' end, and rolls on where more steps are asked for than the horizon has.

rows  ... r r r | H H H            one call of the network
          r r r   H H H | H H H    its forecast becomes the past of the next call
"""

import logging
from collections.abc import Callable

import numpy as np
import pandas as pd

from pipelines.errors import ConfigError, DataError, SeriesTooShort
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline, Rows
from pipelines.windows import WindowIndex

from .evaluation.frames import long_frame, quantile_name
from .fitting import Fitted

log = logging.getLogger(__name__)


def roll(
    fitted: Fitted,
    panel: Panel,
    steps: int | None,
    future: pd.DataFrame | None,
    ends: Callable[[Rows, WindowIndex, np.ndarray], dict[str, np.ndarray]] | None = None,
) -> pd.DataFrame:
    """Returns the long frame of forecasts; see `Forecaster.predict`.

    Args:
        fitted: What forecasts; where its network has no input of what is known ahead, known covariates are only needed
            where the forecast is rolled on.
        ends: Returns further columns `(N, H, K)` of the first call's forecasts: of later ones they are NaN.
    """
    pipeline, looks_ahead = fitted.pipeline, "known" in fitted.inputs
    spec = pipeline.spec
    H, G = spec.window.horizon, spec.window.gap
    steps = H if steps is None else steps
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ConfigError(f"`steps` must be an integer >= 1. Received: {steps!r}")
    check_steps(pipeline, steps)
    rows_ahead = G + -(-steps // H) * H  # whole calls: the last one may know more than it is asked
    ahead, provisional = _shortened(pipeline, panel).extend(rows_ahead)
    first = ahead.offsets[1:] - rows_ahead  # first future row of each series
    if spec.known and (looks_ahead or steps > H):
        _put_known(ahead, first, G, spec.known, future)
    rows = pipeline.transform(ahead, known_until=first)
    index, skipped = _last_windows(pipeline, rows, first)
    answers, more = [], {}
    columns = np.array([ahead.column(name) for name in spec.targets])
    for done in range(0, steps, H):
        if done:
            rows = pipeline.transform(ahead, known_until=first)
        here = WindowIndex(index.cutoffs + done, index.series, index.spec)
        said = fitted.answers(rows, here)
        y = fitted.point(said)  # (N, H, K)
        if not np.isfinite(y).all():
            raise DataError(
                f"Every forecast must be a number. Received: {int((~np.isfinite(y)).sum()):,} of {y.size:,} "
                "that are none. Look for inputs far outside the training range, or covariates that are missing."
            )
        answers.append(y)
        if not done:
            beside = {} if ends is None else ends(rows, here, y)
            beside |= {quantile_name(q): values for q, values in fitted.spread(said).items()}
            more = {name: _continued(array, steps) for name, array in beside.items()}
        for h in range(H):  # what was forecast is known to the next call
            ahead.values[np.ix_(here.cutoffs + 1 + G + h, columns)] = y[:, h]
    whole = WindowIndex(index.cutoffs, index.series, index.spec.replace(horizon=steps))
    y_pred = np.concatenate(answers, axis=1)[:, :steps]
    frame = long_frame(ahead, whole, spec.targets, {"y_pred": y_pred, **more})
    frame.attrs.update(skipped=list(skipped), cold=list(rows.cold), provisional=list(provisional))
    if ends is not None:
        frame.attrs["uncalibrated"] = list(range(H + 1, steps + 1))
    return frame


def _continued(array: np.ndarray, steps: int) -> np.ndarray:
    """Returns the first steps of `(N, H, K)`; those it has not are NaN."""
    N, H, K = array.shape
    return np.concatenate([array[:, :steps], np.full((N, max(steps - H, 0), K), np.nan)], axis=1)


def check_steps(pipeline: DataPipeline, steps: int) -> None:
    """Raises ConfigError where so many steps cannot be forecast: the horizon ends, and covariates are unknown."""
    spec = pipeline.spec
    H, G = spec.window.horizon, spec.window.gap
    if steps <= H:
        return
    if G:
        raise ConfigError(
            f"With a gap of {G} rows a forecast cannot be rolled forward. Received: steps={steps}, horizon={H}. "
            f"Ask for at most {H} steps, or train with horizon={steps}."
        )
    unknown = set(spec.past) | {
        c for f in pipeline.features_ for c in f.inputs if c not in (*spec.targets, *spec.known)
    }
    if unknown:
        raise ConfigError(
            f"Beyond the horizon of {H} rows the forecast needs values of {', '.join(sorted(unknown))} that nobody "
            f"knows yet. Received: steps={steps}. Ask for at most {H} steps, train with horizon={steps}, or make them "
            "targets, too."
        )


def _shortened(pipeline: DataPipeline, panel: Panel) -> Panel:
    """Returns the last rows that matter: all of them where a series is cold, because its scaler is fitted on them."""
    if set(panel.ids) <= set(pipeline.ids_):
        return panel.tail(pipeline.spec.window.lookback + pipeline.warmup + pipeline.spec.cleaning.fill_limit)
    return panel


def _last_windows(pipeline: DataPipeline, rows: Rows, first: np.ndarray) -> tuple[WindowIndex, list[str]]:
    """Returns the window before each series' future, and the names of the series that have no complete one."""
    window, panel, missing = pipeline.spec.window, rows.panel, rows.missing()
    keep, skipped = [], []
    for s, cutoff in enumerate(first - 1):
        start = cutoff + 1 - window.lookback
        if start < panel.offsets[s] or missing[start : cutoff + 1].any():
            skipped.append(panel.ids[s])
        else:
            keep.append(s)
    if not keep:
        s = int(np.argmax(first - panel.offsets[:-1]))
        have, need = int(first[s] - panel.offsets[s]), window.lookback + pipeline.warmup
        raise SeriesTooShort(
            f"A forecast needs the last {need} rows without missing values (lookback {window.lookback} + warm-up of "
            f"features {pipeline.warmup}). Received: {have} rows in the longest series, {panel.ids[s]!r}. Give "
            "more rows, or fill the gaps."
        )
    if skipped:
        names = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        log.warning(
            "%d of %d series have no complete window at their end and were left out: %s",
            len(skipped),
            len(first),
            names,
        )
    return WindowIndex(first[keep] - 1, np.array(keep), window), skipped


def _put_known(ahead: Panel, first: np.ndarray, gap: int, known: tuple[str, ...], future: pd.DataFrame | None) -> None:
    """Fills in the known covariates of future rows, in place.

    Raises:
        ConfigError: `future` is missing, or lacks a column.
        DataError: It lacks rows.
    """
    names = ", ".join(known)
    if future is None:
        raise ConfigError(
            f"The network was trained with covariates that are known ahead. Give `future` with ds, {names}."
        )
    if "unique_id" not in future.columns and len(ahead.ids) > 1:
        raise ConfigError(
            f"`future` must say whose rows they are. Add the column unique_id: {', '.join(ahead.ids[:3])}, ..."
        )
    options = {"calendar" if ahead.calendars[0].is_exchange else "freq": ahead.calendars[0].code or None}
    given = Panel.from_frame(future, columns=known, **options)
    columns = np.array([ahead.column(name) for name in known])
    for s, unique_id in enumerate(ahead.ids):
        rows = slice(int(first[s]) + gap, int(ahead.offsets[s + 1]))  # what lies in the gap no network sees
        theirs = given.rows(given.ids.index(unique_id) if unique_id in given.ids else 0)
        if unique_id in given.ids or len(given.ids) == len(ahead.ids) == 1:
            ds = given.ds[theirs]
            if not given.calendars[0].zone:  # a plain clock is the clock of the series
                ds = ahead.calendars[s].utc(ds)
            _, here, there = np.intersect1d(ahead.ds[rows], ds, return_indices=True)
            ahead.values[np.ix_(rows.start + here, columns)] = given.values[theirs][there]
        empty = np.isnan(ahead.values[rows][:, columns]).any(axis=1)
        if empty.any():
            at = ahead.stamp(int(ahead.ds[rows][np.argmax(empty)]), s)
            raise DataError(
                f"`future` must hold {names} for the next {rows.stop - rows.start} rows of each series. Received none "
                f"for {int(empty.sum())} of them in series {unique_id!r}, the first at {at}."
            )
