"""How often "better than naive" is said where nothing can be better, and how often intervals hold what they promise.

    python benchmarks/honesty.py

500 random walks, a third each with normal moves, with heavy tails (Student, 4 degrees of freedom) and with calm and
wild times (GARCH). Each has 500 rows to learn from and 250 cutoffs to be tested at. A forecast 5 or 12 rows ahead
overlaps that of the next cutoffs. A one-sided test of Diebold and Mariano at 5 % may be wrong on 5 % of walks. Bar:
that, and what luck adds to the count of 500 walks in 99 of 100 such runs.

The bar is for forecasts that add noise, drift or momentum to the last value. Beside it, without a bar:

    average     leans back to the average of 20 rows: at 5 and 12 rows ahead the test is wrong too often, because a walk
                that happened to turn back in 250 rows looks as if it always did
    equal       two forecasts with the same expected error, the last value plus and minus noise: the size of the test
    informed    sees a tenth of the variance of the true move: how often real skill is found
    any step    "better" at any of the three steps, and after `holm`

Then intervals of naive forecasts of real series, learned on a tenth of the rows and judged on the last fifth. Bar:
within 3 points of their level; within 1 point where they follow drift, at the price of width beside it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _report import arguments, data_folder, report, table
from scipy import stats

from forecast.evaluation.adaptive import adaptive
from forecast.evaluation.quantile_metrics import coverage
from forecast.evaluation.significance import diebold_mariano, holm
from forecast.selection import calibration_windows, scored_windows
from forecast.uncertainty import calibrate
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline, PipelineSpec, Rows
from pipelines.splits import SplitSpec, split
from pipelines.windows import WindowIndex

LEVEL = 0.05
STEPS = (1, 5, 12)
PAST, CUTOFFS = 500, 250
LOSSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"absolute": np.abs, "squared": np.square}


def moves(kind: int, rows: int, random: np.random.Generator) -> np.ndarray:
    """Returns the moves of a walk: normal, with heavy tails, or calm and wild by turns."""
    if kind == 1:
        return random.standard_t(4, rows)
    result = random.normal(size=rows)
    variance = 1.0
    for i in range(rows if kind == 2 else 0):
        result[i] *= np.sqrt(variance)
        variance = 0.02 + 0.1 * result[i] ** 2 + 0.88 * variance
    return result


def forecasts(walk: np.ndarray, step: int, random: np.random.Generator) -> Iterator[tuple[str, bool, np.ndarray]]:
    """Yields a name, whether the bar is for it, and the forecasts of the test cutoffs."""
    at = PAST - 1 + np.arange(CUTOFFS)
    last, noise = walk[at], random.normal(size=CUTOFFS) * np.sqrt(step)  # as large as the moves of so many rows
    yield "noise, a tenth of a move", True, last + 0.1 * noise
    yield "noise, a whole move", True, last + noise
    yield "drift, of all rows so far", True, last + step * (last - walk[0]) / at
    yield "drift, of the training rows", True, last + step * (walk[PAST - 1] - walk[0]) / (PAST - 1)
    yield "drift, a twentieth of a move", True, last + 0.05 * np.sqrt(step)
    yield "momentum, a tenth of the last move", True, last + 0.1 * (last - walk[at - 1])
    average = np.convolve(walk, np.full(20, 1 / 20))[at]
    yield "average, a twentieth of the way", False, last + 0.05 * (average - last)
    yield "informed", False, last + 0.1 * (walk[at + step] - last + 3 * noise)


def significance(walks: int) -> tuple[list[list[Any]], dict[str, Any]]:
    """Returns the table of how often "better" was said, and its figures."""
    found: dict[tuple[str, str], list[list[float]]] = {}  # p-values of each walk and step
    barred: dict[str, bool] = {}
    for w in range(walks):
        random = np.random.default_rng(w)
        walk = np.cumsum(moves(w % 3, PAST + CUTOFFS + max(STEPS), random))
        row: dict[tuple[str, str], list[float]] = {}
        for step in STEPS:
            at = PAST - 1 + np.arange(CUTOFFS)
            true, last = walk[at + step], walk[at]
            noise = 0.5 * random.normal(size=(2, CUTOFFS)) * np.sqrt(step)
            for loss, size in LOSSES.items():
                equal = diebold_mariano(size(true - last - noise[0]), size(true - last - noise[1]), step)
                row.setdefault(("equal", loss), []).append(equal.p_better)
            for name, bar, forecast in forecasts(walk, step, random):
                barred[name] = bar
                for loss, size in LOSSES.items():
                    test = diebold_mariano(size(true - forecast), size(true - last), step)
                    row.setdefault((name, loss), []).append(test.p_better)
        for key, values in row.items():
            found.setdefault(key, []).append(values)
    limit = float(stats.binom.ppf(0.99, walks, LEVEL)) / walks
    table, rates, passed = [], {}, True
    for (name, loss), values in found.items():
        p = np.array(values)  # (walks, steps)
        shares = [*(p < LEVEL).mean(axis=0), np.mean([(holm(one) < LEVEL).any() for one in p])]
        good = bool(max(shares) <= limit)
        passed &= good or not barred.get(name, False)
        verdict = ("yes" if good else "NO") if barred.get(name, False) else "-"
        table.append([name, loss, *(f"{100 * share:.1f} %" for share in shares), verdict])
        rates[f"{name}, {loss}"] = [round(float(share), 4) for share in shares]
    return table, {"walks": walks, "steps": STEPS, "better": rates, "limit": limit, "passed": passed}


def panels(folder: Path) -> Iterator[tuple[str, int, int, Panel]]:
    """Yields a name, lookback, horizon and series in a column `y`."""
    frame = pd.read_csv(folder / "stocks/us_daily_6tickers.csv.gz", parse_dates=["Date"])
    frame = frame.rename(columns={"Date": "ds", "Ticker": "unique_id", "Adj Close": "y"})
    stocks = Panel.from_frame(frame[["unique_id", "ds", "y"]], calendar="XNYS")
    for lookback in (20, 60):
        for horizon in (1, 5):
            yield f"6 stocks, lookback {lookback}, {horizon} ahead", lookback, horizon, stocks
    wide = pd.read_csv(folder / "m4/Hourly-train.csv.gz", index_col=0)
    parts = [pd.DataFrame({"unique_id": name, "y": row.dropna().to_numpy()}) for name, row in wide.iterrows()]
    frame = pd.concat([part.assign(ds=np.arange(len(part))) for part in parts], ignore_index=True)
    yield "414 hourly series of M4, lookback 60, 24 ahead", 60, 24, Panel.from_frame(frame)


def intervals(folder: Path) -> tuple[list[list[Any]], dict[str, Any]]:
    """Returns the table of how often intervals held, and its figures."""
    found, shares, passed = [], {}, True
    for name, lookback, horizon, panel in panels(folder):
        splits = split(panel, SplitSpec(calibration=0.1))
        spec = PipelineSpec(targets=("y",), window={"lookback": lookback, "horizon": horizon})
        pipeline = DataPipeline(spec).fit(panel, splits)
        rows = pipeline.transform(panel)

        def naive(rows: Rows, index: WindowIndex) -> np.ndarray:
            return np.repeat(rows.last[index.cutoffs][:, None].astype(float), index.spec.horizon, axis=1)

        state = calibrate(naive, pipeline, rows, calibration_windows(pipeline, rows, splits), splits)
        index = scored_windows(pipeline, rows, splits, "test")
        y_pred = naive(rows, index)
        y_true = pipeline.truth(panel, index)
        bands = state.bands(rows, index, y_pred, (80.0, 95.0))
        for level, ends in bands.ends.items():
            where = {"cutoffs": index.cutoffs, "series": index.series}
            low, high, _ = adaptive(bands.conformal, y_true, y_pred, bands.scale, level, **where)
            fixed, moved = coverage(y_true, *ends), coverage(y_true, low, high)
            width = (high - low) / (ends[1] - ends[0])
            good = abs(fixed - level) < 3 and abs(moved - level) < 1
            passed &= good
            percent = [f"{share:.1f} %" for share in (fixed, moved)]
            ratio = [f"{value:.2f}" for value in (np.median(width), width.mean())]
            found.append([name, f"{level:g} %", *percent, *ratio, "yes" if good else "NO"])
            shares[f"{name}, {level:g} %"] = {"fixed": round(fixed, 2), "adaptive": round(moved, 2)}
    return found, {"held": shares, "passed": bool(passed)}


def main() -> None:
    """Runs the parts and prints each table."""
    parser = arguments(__doc__)
    parser.add_argument("--walks", type=int, default=500)
    options = parser.parse_args()
    better, figures = significance(options.walks)
    steps = [f"step {step}" for step in STEPS]
    columns = ["model", "loss", *steps, "any step, Holm", f"at most {100 * figures['limit']:.1f} %"]
    if not options.json:
        table(columns, better)
    held, shares = intervals(data_folder())
    columns = ["naive forecasts of", "level", "held", "adaptive", "median width", "mean width", "within the bar"]
    report(columns, held, {"significance": figures, "coverage": shares}, options.json)


if __name__ == "__main__":
    main()
