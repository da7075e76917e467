"""How often "better than naive" is said where nothing can be better, and how often intervals hold what they promise.

    python benchmarks/honesty.py

500 random walks, a third each with normal moves, with heavy tails (Student, 4 degrees of freedom) and with calm and
wild times (GARCH). Each has 500 rows to learn from and 500 cutoffs to be judged at, 1, 5 and 12 rows ahead. Bar: of no
forecast that cannot be better does the verdict say "better than naive" on more than 5 % of the walks. Beside it,
without a bar:

    informed    sees a tenth of the variance of the true move: how often real skill is found
    one test    Diebold-Mariano at 5 % of one side, as it is often used, where the verdict asks for more

An LSTM, trained on all walks together, is judged on each of them, too.

Then intervals of forecasts of real series, learned on a tenth of the rows and judged on the last fifth: naive ones,
and those of an LSTM. Bar: within 2 points of their level where they follow drift, at the price of width beside it; and
those of naive, whose errors change with the series alone, as they are, too.

Then the leakage audit of each model on 14 years of AAPL, which finds nothing, and with leaks built in, which it names.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _report import arguments, data_folder, report, table

from forecast.evaluation.backtest import Backtest
from forecast.evaluation.beside import chosen, score
from forecast.evaluation.significance import diebold_mariano
from forecast.evaluation.verdict import against
from forecast.selection import calibration_windows, scored_windows
from forecast.uncertainty import calibrate
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline, PipelineSpec, Rows
from pipelines.splits import split
from pipelines.windows import WindowIndex

LEVELS = (80.0, 95.0)
LEVEL = 0.05
HORIZONS = (1, 5, 12)
PAST, CUTOFFS = 500, 500


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


def forecasts(walk: np.ndarray, horizon: int, random: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yields names and forecasts `(N, H)` from the cutoffs; the last one alone knows something."""
    at, steps = PAST - 1 + np.arange(CUTOFFS), np.arange(1, horizon + 1)
    last, noise = walk[at][:, None], random.normal(size=(CUTOFFS, horizon)).cumsum(axis=1)  # as large as true moves
    yield "noise, a tenth of a move", last + 0.1 * noise
    yield "noise, a whole move", last + noise
    yield "drift, of all rows so far", last + steps * ((last[:, 0] - walk[0]) / at)[:, None]
    yield "drift, of the training rows", last + steps * (walk[PAST - 1] - walk[0]) / (PAST - 1)
    yield "drift, a twentieth of a move", last + 0.05 * np.sqrt(steps)
    yield "momentum, a tenth of the last move", last + 0.1 * (last - walk[at - 1][:, None])
    for rows, share in ((20, 0.05), (60, 0.05), (250, 0.02)):
        average = np.convolve(walk, np.full(rows, 1 / rows))[at][:, None]
        yield f"back to the average of {rows} rows, {100 * share:g} %", last + share * (average - last)
    yield "informed", last + 0.1 * (walk[at[:, None] + steps] - last + 3 * noise)


def judged(truth: np.ndarray, forecast: np.ndarray, last: np.ndarray) -> tuple[bool, bool]:
    """Returns whether the verdict says "better than naive", and whether one test of one side does."""
    mine, naive = np.abs(truth - forecast).mean(axis=1), np.abs(truth - last).mean(axis=1)
    n, horizon = truth.shape
    one = against("naive", (mine.mean(), naive.mean()), (mine, naive), np.zeros(n, int), np.arange(n), True, horizon)
    return one.outcome == "better", diebold_mariano(mine, naive, horizon).p_better < LEVEL


def significance(walks: int) -> tuple[list[list[Any]], dict[str, Any]]:
    """Returns the table of how often "better" was said, and its figures."""
    found: dict[str, dict[int, list[tuple[bool, bool]]]] = {}
    made = []
    for w in range(walks):
        random = np.random.default_rng(w)
        walk = np.cumsum(moves(w % 3, PAST + CUTOFFS + max(HORIZONS), random))
        made.append(walk)
        at = PAST - 1 + np.arange(CUTOFFS)
        for horizon in HORIZONS:
            truth, last = walk[at[:, None] + np.arange(1, horizon + 1)], walk[at][:, None]
            for name, forecast in forecasts(walk, horizon, random):
                found.setdefault(name, {}).setdefault(horizon, []).append(judged(truth, forecast, last))
    for horizon in HORIZONS:
        found.setdefault("LSTM, trained on all walks", {})[horizon] = network(made, horizon)
    rows, rates, passed = [], {}, True
    for name, by_horizon in found.items():
        shares = np.array([np.mean(by_horizon[horizon], axis=0) for horizon in HORIZONS])  # (horizons, 2)
        good = bool(shares[:, 0].max() <= LEVEL)
        passed &= good or name == "informed"
        percent = [f"{100 * share:.1f} %" for share in (*shares[:, 0], *shares[:, 1])]
        rows.append([name, *percent, "-" if name == "informed" else "yes" if good else "NO"])
        rates[name] = {"verdict": shares[:, 0].round(4).tolist(), "one test": shares[:, 1].round(4).tolist()}
    return rows, {"walks": walks, "horizons": HORIZONS, "better": rates, "passed": passed}


def network(walks: list[np.ndarray], horizon: int) -> list[tuple[bool, bool]]:
    """Returns the judgement on each walk of an LSTM that was trained on the first rows of all of them."""
    from forecast import Forecaster

    rows = PAST + CUTOFFS + horizon - 1
    parts = [pd.DataFrame({"unique_id": f"w{w}", "ds": np.arange(rows), "y": x[:rows]}) for w, x in enumerate(walks)]
    sizes = {"validation": str(PAST - 100), "test": str(PAST)}
    settings: dict[str, Any] = {"training": {"epochs": 3, "batch_size": 1024}, "split": sizes}
    model = Forecaster(model={"name": "lstm", "units": 16}, lookback=20, horizon=horizon, **settings)
    backtest = model.fit(pd.concat(parts, ignore_index=True), quiet=True).backtest(part="test")
    shape = (len(walks), -1, horizon)
    truth, forecast, last = (
        np.broadcast_to(y, backtest.y_true[:, :, 0].shape).reshape(shape)
        for y in (backtest.y_true[:, :, 0], backtest.y_pred["lstm"][:, :, 0], backtest.last)
    )
    return [judged(*one) for one in zip(truth, forecast, last[:, :, :1], strict=True)]


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


def learned(panel: Panel, lookback: int, horizon: int) -> Backtest:
    """Returns the backtest of an LSTM with intervals."""
    from forecast import Forecaster

    training = {"epochs": 3, "batch_size": 1024}
    model = Forecaster(model={"name": "lstm", "units": 32}, lookback=lookback, horizon=horizon, training=training)
    return model.fit(panel, quiet=True).backtest(levels=LEVELS)


def repeated(panel: Panel, lookback: int, horizon: int) -> Backtest:
    """Returns the backtest of the naive forecast, with intervals as if it were a model's."""
    splits = split(panel)
    window = {"lookback": lookback, "horizon": horizon}
    pipeline = DataPipeline(PipelineSpec(targets=("y",), window=window)).fit(panel, splits)
    rows = pipeline.transform(panel)

    def predict(rows: Rows, index: WindowIndex) -> np.ndarray:
        return np.repeat(rows.last[index.cutoffs][:, None].astype(float), horizon, axis=1)

    state = calibrate(predict, pipeline, rows, calibration_windows(pipeline, rows, splits), splits)
    index = scored_windows(pipeline, rows, splits, "test")
    y_pred = predict(rows, index)
    about: dict[str, Any] = {"part": "test", "unit": "", "season_length": None}
    bands = state.bands(rows, index, y_pred, LEVELS)
    truth = pipeline.truth(panel, index)
    return score(panel, splits, index, truth, {"repeated": y_pred}, ("y",), chosen(()), **about, bands=bands)


def intervals(folder: Path) -> tuple[list[list[Any]], dict[str, Any]]:
    """Returns the table of how often intervals held, and its figures."""
    found, shares, passed = [], {}, True
    for name, lookback, horizon, panel in panels(folder):
        for forecast, make in (("naive", repeated), ("lstm", learned)):
            if forecast == "lstm" and "lookback 20" in name:
                continue
            plain = make(panel, lookback, horizon)
            follows = plain.adaptive()
            for level in LEVELS:
                fixed, moved = (float(one.coverage(None).loc[("y", level), "coverage"]) for one in (plain, follows))
                width = np.subtract(*follows.bands.ends[level]) / np.subtract(*plain.bands.ends[level])
                near = [name for name, share in (("fixed", fixed), ("adaptive", moved)) if abs(share - level) <= 2]
                passed &= "adaptive" in near and (forecast == "lstm" or "fixed" in near)
                percent = [f"{share:.1f} %" for share in (fixed, moved)]
                ratio = [f"{value:.2f}" for value in (np.median(width), width.mean())]
                found.append([name, forecast, f"{level:g} %", *percent, *ratio, " and ".join(near)])
                shares[f"{name}, {forecast}, {level:g} %"] = {"fixed": round(fixed, 2), "adaptive": round(moved, 2)}
    return found, {"held": shares, "passed": bool(passed)}


def audits(folder: Path) -> tuple[list[list[Any]], dict[str, Any]]:
    """Returns what the audit says of each model, and of leaks that are built in."""
    import forecast
    from forecast.models import registry

    rows = pd.read_csv(folder / "stocks/AAPL.csv.gz", index_col="Date", parse_dates=True)
    rows["next"], rows["smooth"] = rows["Close"].shift(-1), rows["Close"].rolling(5, center=True).mean()
    holes = rows.copy()
    holes.iloc[::50, holes.columns.get_loc("Close")] = np.nan

    def fitted(data: pd.DataFrame = rows, **settings: Any) -> Any:
        own = {"target": "Close", "horizon": 5, "training": {"epochs": 1, "batch_size": 1024}, "calendar": "XNYS"}
        return forecast.Forecaster(**{**own, **settings}).fit(data, quiet=True)

    def scaled_by_all() -> Any:
        model = fitted()
        panel, scaler = model.panel_, model.pipeline_.scaler_
        scaler.fit([(name, model.pipeline_.raw(panel)) for name in panel.ids])
        return model

    cases: list[tuple[str, bool, Callable[[], Any]]] = [
        (
            name,
            False,
            partial(fitted, model=name, past=["Open", "High", "Low", "Volume"], features=["returns(5)", "day_of_week"]),
        )
        for name in registry.names()
    ]
    cases += [
        ("a column of the next closes", True, partial(fitted, past=["next"])),
        ("a centred average", True, partial(fitted, past=["smooth"])),
        ("gaps filled by lines", True, partial(fitted, data=holes, cleaning={"gaps": "interpolate"})),
        ("a scaler fitted on all rows", True, scaled_by_all),
    ]
    found, passed = [], True
    for name, leaks, make in cases:
        model = make()
        start = time.perf_counter()
        audit = forecast.audit(model)
        good = audit.passed is not leaks
        passed &= good
        seconds = f"{time.perf_counter() - start:.1f} s"
        found.append([name, "leaks" if leaks else "none", audit.verdict, seconds, "yes" if good else "NO"])
    return found, {"cases": {row[0]: row[2] for row in found}, "passed": passed}


def main() -> None:
    """Runs the parts and prints each table."""
    parser = arguments(__doc__)
    parser.add_argument("--walks", type=int, default=500)
    options = parser.parse_args()
    better, figures = significance(options.walks)
    ahead = [f"{horizon} ahead" for horizon in HORIZONS]
    columns = ["forecast", *ahead, *(f"one test, {name}" for name in ahead), f"at most {100 * LEVEL:g} %"]
    if not options.json:
        table(columns, better)
    held, shares = intervals(data_folder())
    columns = ["series", "forecasts", "level", "held", "adaptive", "median width", "mean width", "within 2 points"]
    if not options.json:
        table(columns, held)
    leaks, verdicts = audits(data_folder())
    columns = ["model, or leak", "built in", "the audit says", "time", "right"]
    report(columns, leaks, {"significance": figures, "coverage": shares, "audit": verdicts}, options.json)


if __name__ == "__main__":
    main()
