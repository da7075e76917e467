"""Accuracy on real data, beside other libraries: one named suite, and the table of it in `benchmarks/README.md`.

    make benchmark-accuracy                          all of it, from the start; hours on 2 cores
    python benchmarks/accuracy.py --tasks m4_hourly  a part; results so far are kept and completed
    python benchmarks/accuracy.py --table            writes the table of what there is

Every entry is a network, or several, that any user reaches by name: a preset, a model, or `auto`. Settings were chosen
by validation rows of the training data; test rows are looked at once, when an entry is scored. Each runs in a process
of its own. `seconds` are those of `fit`, or of all that a peer does to fit and predict. They differ from machine to
machine; read them beside each other.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _accuracy_table import README, write_table
from _report import arguments, data_folder, table

HERE = Path(__file__).parent
RESULTS = HERE / "accuracy.json"
PEER = HERE.parent / ".venv-peers/bin/python"
LIMIT = 300.0  # seconds for a peer
EDGE_WINDOWS = 2_000  # that an exported file is scored on, at most
# Files are refused by default where a core errs by more than 0.1, or the whole by 2 %; here they are scored anyway.
SCORED_AS_IT_IS = {"max_core_error": 1.0, "max_degradation": 1.0}

Figures = dict[str, float]


@dataclass(frozen=True)
class Task:
    """One data set with its question.

    Attributes:
        about: What it is, for the table.
        rows: Returns the data.
        settings: Of every entry.
        entries: What is tried: settings over those.
        metric: The one to be judged by.
        score: Returns figures of truths and forecasts `(N, H)`, given deviation and naive error of each one's series.
        stride: Rows between test cutoffs.
        peers: Which are run; none where published figures stand in the table.
        published: Figures of others, with their source.
        split: Which rows choose, in words.
    """

    about: str
    rows: Callable[[], Any]
    settings: dict[str, Any]
    entries: dict[str, dict[str, Any]]
    metric: str
    score: Callable[..., Figures]
    stride: int = 1
    peers: tuple[str, ...] = ()
    published: dict[str, float] = field(default_factory=dict)
    split: str = "The last fifth of the rows tests; of the two tenths before, one validates and one is for intervals"


# --- data -------------------------------------------------------------------------------------------------------------


def m4_hourly() -> pd.DataFrame:
    """Returns 414 series of 700 to 960 hours, with the 48 of the test behind them."""
    folder = data_folder() / "m4"
    train = pd.read_csv(folder / "Hourly-train.csv.gz", index_col=0)
    test = pd.read_csv(folder / "Hourly-test.csv", index_col=0)
    parts = []
    for name, row in zip(train.index, train.to_numpy(float), strict=True):
        y = np.concatenate([row[~np.isnan(row)], test.loc[name].to_numpy(float)])
        parts.append(pd.DataFrame({"unique_id": name, "ds": np.arange(len(y)), "y": y}))
    return pd.concat(parts, ignore_index=True)


def etth1() -> pd.DataFrame:
    """Returns seven series of the standard 14,400 hours, in long form."""
    wide = pd.read_csv(data_folder() / "ett/ETTh1.csv.gz", index_col="date", parse_dates=True).iloc[:14_400]
    return wide.rename_axis(index="ds").melt(var_name="unique_id", value_name="y", ignore_index=False).reset_index()


def exchange() -> pd.DataFrame:
    """Returns eight daily rates in long form, counted, as the file has no dates."""
    wide = pd.read_csv(data_folder() / "bench/exchange_rate.csv.gz", header=None)
    wide.columns = [f"rate_{c}" for c in wide.columns]
    return wide.rename_axis(index="ds").melt(var_name="unique_id", value_name="y", ignore_index=False).reset_index()


def tickers() -> pd.DataFrame:
    """Returns the adjusted closes of six stocks."""
    frame = pd.read_csv(data_folder() / "stocks/us_daily_6tickers.csv.gz", parse_dates=["Date"])
    return frame.rename(columns={"Date": "ds", "Ticker": "unique_id", "Adj Close": "y"})[["unique_id", "ds", "y"]]


def sensor(name: str) -> Callable[[], str]:
    """Returns a file of the folder of sensors."""
    return lambda: str(data_folder() / f"sensor/{name}.csv.gz")


# --- scores -----------------------------------------------------------------------------------------------------------


def owa(y_true: np.ndarray, y_pred: np.ndarray, deviation: np.ndarray, scale: np.ndarray) -> Figures:
    """M4's own: sMAPE of 0 to 200, MASE, and the mean of both over those of Naive2 (18.383 and 2.395)."""
    size = np.abs(y_true) + np.abs(y_pred)
    smape = 200 * np.mean(np.divide(np.abs(y_true - y_pred), size, out=np.zeros_like(size), where=size > 0))
    mase = np.mean(np.abs(y_true - y_pred).mean(axis=1) / scale)
    return {"smape": float(smape), "mase": float(mase), "owa": float((smape / 18.383 + mase / 2.395) / 2)}


def standard(y_true: np.ndarray, y_pred: np.ndarray, deviation: np.ndarray, scale: np.ndarray) -> Figures:
    """Errors over the deviation of each series in training rows."""
    error = (y_true - y_pred) / deviation[:, None]
    return {"mse": float(np.nanmean(error**2)), "mae": float(np.nanmean(np.abs(error)))}


def scaled(y_true: np.ndarray, y_pred: np.ndarray, deviation: np.ndarray, scale: np.ndarray) -> Figures:
    """MASE over all series: in units of each one's seasonal naive error in training rows."""
    return {"mase": float(np.nanmean(np.abs(y_true - y_pred) / scale[:, None]))}


# --- the suite --------------------------------------------------------------------------------------------------------

NEURAL = ("neuralforecast_lstm", "neuralforecast_gru", "neuralforecast_nhits", "neuralforecast_dlinear")
CLASSIC = ("statsforecast_mstl", "statsforecast_autoets", "statsforecast_theta", "statsforecast_autoarima")
PEERS = (*NEURAL, "darts_blockrnn", *CLASSIC)
ALL_ROWS = {"training": {"early_stopping": False}}  # validation rows are learned from, too: settings are fixed

LONG = {
    "loss": "mae",
    "batch_size": 256,
    "steps": 100,
    "epochs": 15,
    "learning_rate": 1e-3,
    "average": 0.99,
    "schedule": {"name": "cosine", "warmup": 1},
}

M4 = {"target": "y", "horizon": 48, "season_length": 24, "split": {"validation": 48, "test": 48}}
MIXED = {"training": {"loss": "mixed"}}  # what the competition scores: sMAPE and MASE
ETT_STARTS = {"validation": "2017-06-26 00:00:00", "test": "2017-10-24 00:00:00"}
ETT_PUBLISHED = {
    96: {"SegRNN, lookback 720": 0.351, "NLinear": 0.374},
    192: {"SegRNN, lookback 720": 0.392, "NLinear": 0.408},
    336: {"SegRNN, lookback 720": 0.423, "NLinear": 0.429},
    720: {"SegRNN, lookback 720": 0.466, "NLinear": 0.440},
}


def over(*groups: dict[str, Any]) -> dict[str, Any]:
    """Returns settings laid over each other."""
    from forecast.config import merge

    found: dict[str, Any] = {}
    for group in groups:
        found = merge(found, group)
    return found


def suite() -> dict[str, Task]:
    """Returns all tasks by name."""
    tasks = {
        "m4_hourly": Task(
            "M4 hourly, 414 series, 48 hours ahead",
            m4_hourly,
            M4,
            {
                "preset fast": over({"preset": "fast"}, MIXED),
                "preset accurate, all rows": over({"preset": "accurate"}, MIXED, ALL_ROWS),
                "auto, 10min": {"model": "auto", "budget": "10min"},
            },
            "owa",
            owa,
            peers=PEERS,
            published={
                "best of 59 methods (Doornik)": 0.410,
                "winner (ES-RNN)": 0.440,
                "FFORMA": 0.484,
                "M4's RNN": 1.036,
            },
            split="The 48 hours before the test validate",
        )
    }
    for horizon, published in ETT_PUBLISHED.items():
        tasks[f"etth1_{horizon}"] = Task(
            f"ETTh1, 7 series, {horizon} hours ahead",
            etth1,
            {"target": "y", "horizon": horizon, "scaling": "standard", "split": {**ETT_STARTS, "calibration": 0.0}},
            {
                "seasonal_lstm": {
                    "model": {"name": "seasonal_lstm", "dropout": 0.3},
                    "lookback": 336,
                    "training": LONG,
                },
                "auto, 10min": {"model": "auto", "budget": "10min"},
            },
            "mse",
            standard,
            published=published,
            split="The months of the usual split: 12 train, 4 validate, 4 test",
        )
    plain: dict[str, dict[str, Any]] = {
        "defaults": {},
        "preset fast": {"preset": "fast"},
        "auto, 3min": {"model": "auto", "budget": "3min"},
    }
    stocks = {"defaults": {}, "preset stock": {"preset": "stock"}, "auto, 3min": {"model": "auto", "budget": "3min"}}
    tasks["exchange"] = Task(
        "Exchange rates, 8 series, 5 days ahead",
        exchange,
        {"target": "y", "horizon": 5},
        over({"a": stocks}, {"a": {"preset stock": {"preset": "stock", "calendar": None}}})["a"],
        "mase",
        scaled,
        stride=5,
    )
    tasks["tickers"] = Task(
        "Six US stocks, adjusted closes, 5 sessions ahead",
        tickers,
        {"target": "y", "horizon": 5, "calendar": "XNYS"},
        stocks,
        "mase",
        scaled,
        stride=5,
    )
    for name, about, target, horizon, more in (
        ("traffic_volume", "Road traffic, 24 hours ahead", "traffic_volume", 24, {}),
        ("machine_temperature", "Machine temperature, 12 rows of 5 minutes ahead", "value", 12, {}),
        ("occupancy", "Room temperature, 30 minutes ahead", "Temperature", 30, {}),
    ):
        tasks[name] = Task(
            about,
            sensor(name),
            {"target": target, "horizon": horizon, **more},
            plain,
            "mase",
            scaled,
            stride=horizon,
            peers=("statsforecast_mstl", "statsforecast_autoets"),
        )
    return tasks


# --- running ----------------------------------------------------------------------------------------------------------


def run(task: Task, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Fits, scores, exports and scores the file: in this process."""
    from forecast import Forecaster

    settings = over(task.settings, settings, {"seed": seed})
    preset = settings.pop("preset", None)
    rows = task.rows()
    start = time.perf_counter()
    model = Forecaster(preset=preset, config=settings)
    model.fit(rows, quiet=False)
    seconds = time.perf_counter() - start
    tested = model.backtest(stride=task.stride)
    units = units_of(model, tested)
    figures = {name: task.score(tested.y_true[:, :, 0], y[:, :, 0], *units) for name, y in tested.y_pred.items()}
    return {
        "figures": figures.pop(tested.model),
        "bars": {name: figures[name] for name in ("naive", "seasonal_naive") if name in figures},
        "seconds": seconds,
        "windows": len(tested.index),
        "parameters": model.network_.count_params(),
        "verdict": tested.scores.verdict,
        "settings": model.config.model_dump(mode="json"),
        "chosen": model.leaderboard_.verdict if model.leaderboard_ is not None else "",
        "board": model.leaderboard_.to_dict() if model.leaderboard_ is not None else None,
        **exported(task, model, tested, units),
    }


def units_of(model: Any, tested: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns deviation and seasonal naive error `(N,)` of each window's series, in its rows before the test."""
    from pipelines.splits import PARTS

    panel, bounds = tested.panel, model.splits_.bounds
    column = panel.column(tested.targets[0])
    official = model.config.season_length is not None  # M4 scales by all rows before the test, others by training ones
    end = bounds[:, PARTS.index("test")] if official else bounds[:, 1]
    m = model.config.season_length or max(panel.calendars[0].season_length, 1)
    deviation, scale = np.empty(len(panel.ids)), np.empty(len(panel.ids))
    for s in range(len(panel.ids)):
        values = panel.values[bounds[s, 0] : end[s], column].astype(np.float64)
        deviation[s], scale[s] = np.nanstd(values), np.nanmean(np.abs(values[m:] - values[:-m]))
    return deviation[tested.index.series], scale[tested.index.series]


def exported(task: Task, model: Any, tested: Any, units: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """Returns the size of the INT8 file, and its figures on the same windows."""
    from forecast import edge
    from pipelines.errors import ForecastError

    many = len(model.panel_.ids) > 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        try:
            model.export(path, "int8", quiet=True, **SCORED_AS_IT_IS, **({"io": "int8"} if many else {}))
        except ForecastError as error:
            return {"int8": None, "int8_why": " ".join(str(error).split())[:300]}
        whose = [tested.panel.ids[s] for s in tested.index.series] if many else [None] * len(tested.index)
        some = np.unique(np.linspace(0, len(whose) - 1, min(EDGE_WINDOWS, len(whose))).astype(int))
        files = {name: edge.load(path, series=name) for name in {whose[n] for n in some}}
        y = np.full(tested.y_true.shape, np.nan)
        L = model.config.lookback
        columns = [tested.panel.column(name) for name in model.pipeline_.inputs_]
        for n in some:
            last = int(tested.index.cutoffs[n])
            window = tested.panel.values[last - L + 1 : last + 1][:, columns]
            y[n] = np.asarray(files[whose[n]].predict(window).values).reshape(y[n].shape)
        at = tuple(one[some] for one in units)
        truth = tested.y_true[some][:, :, 0]
        return {
            "int8": task.score(truth, y[some][:, :, 0], *at),
            "float_there": task.score(truth, tested.y_pred[tested.model][some][:, :, 0], *at),
            "int8_windows": len(some),
            "bytes": path.stat().st_size,
        }


def peer(task: Task, name: str) -> dict[str, Any]:
    """Runs another library on the same rows and cutoffs."""
    from forecast.config import ForecastConfig
    from forecast.prepare import prepare
    from pipelines.pipeline import DataPipeline
    from pipelines.splits import split

    if not PEER.exists():
        raise SystemExit("Peers need an environment of their own. Run `make peers`, or leave --peers out.")
    config = ForecastConfig(**task.settings)
    prepared = prepare(task.rows(), config)
    config = config.replace(target=prepared.target, lookback="auto")
    from forecast.auto import settled

    config = settled(config, prepared.panel)
    panel, splits = prepared.panel, split(prepared.panel, config.split)
    pipeline = DataPipeline(config.pipeline(config.target)).fit(panel, splits)
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    from forecast.selection import scored_windows

    index = scored_windows(pipeline, rows, splits, "test", task.stride)
    column = panel.column(config.target[0])
    m = config.season_length or panel.calendars[0].season_length
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        parts, first = [], {"validation": {}, "test": {}}
        for s, name_of in enumerate(panel.ids):
            own = panel.rows(s)
            y = pd.Series(panel.values[own, column].astype(np.float64)).interpolate(limit_direction="both").to_numpy()
            parts.append(pd.DataFrame({"unique_id": name_of, "ds": np.arange(len(y)), "y": y}))
            for part, found in first.items():
                found[name_of] = int(splits.rows(part)[0][s] - own.start)
        pd.concat(parts, ignore_index=True).to_parquet(place / "rows.parquet")
        cutoffs = {
            name_of: (index.cutoffs[index.series == s] - panel.rows(s).start).tolist()
            for s, name_of in enumerate(panel.ids)
        }
        question = {
            "horizon": config.horizon, "season_length": m, "lookback": config.lookback, **first,
            "cutoffs": cutoffs, "seconds": LIMIT, "seed": 0,
        }  # fmt: skip
        (place / "task.json").write_text(json.dumps(question))
        start = time.perf_counter()
        done = subprocess.run([str(PEER), str(HERE / "peer_accuracy.py"), name, folder], check=False)
        if done.returncode or not (place / f"{name}.json").exists():
            return {"figures": None, "why": f"it ended with {done.returncode}", "seconds": time.perf_counter() - start}
        about = json.loads((place / f"{name}.json").read_text())
        answers = pd.read_parquet(place / f"{name}.parquet")
    wide = answers.pivot(index=["unique_id", "cutoff"], columns="step", values="y_pred")
    keys = [(panel.ids[s], int(c - panel.rows(s).start)) for c, s in zip(index.cutoffs, index.series, strict=True)]
    there = np.array([key in wide.index for key in keys])
    result = {"about": about, "seconds": about["fit_seconds"] + about["predict_seconds"], "why": about["why"]}
    if not there.all():
        return {**result, "figures": None, "why": about["why"] or f"{int((~there).sum())} windows without a forecast"}
    y_pred = wide.loc[keys].to_numpy()
    holder = type("Fitted", (), {"config": config, "splits_": splits})
    tested = type("Tested", (), {"panel": panel, "targets": config.target, "index": index})
    return {
        **result,
        "figures": task.score(pipeline.truth(panel, index)[:, :, 0], y_pred, *units_of(holder, tested)),
        "parameters": about["parameters"],
        "windows": len(index),
    }


def stored() -> dict[str, Any]:
    """Returns the results so far, by task, entry and seed."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(task: str, entry: str, seed: int, found: dict[str, Any]) -> None:
    """Adds a result to the file: whole, or not at all."""
    results = stored()
    results.setdefault(task, {}).setdefault(entry, {})[str(seed)] = found
    temporary = RESULTS.with_suffix(".tmp")
    plain = json.loads(json.dumps(results), parse_constant=lambda _: None)  # JSON knows no NaN
    temporary.write_text(json.dumps(plain, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, RESULTS)


def main() -> None:
    tasks = suite()
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(tasks), default=list(tasks))
    parser.add_argument("--entries", nargs="+", help="some of them, by name, peers among them")
    parser.add_argument("--seeds", type=int, default=1, help="of each entry but auto")
    parser.add_argument("--peers", action="store_true", help="other libraries, too; `make peers` first")
    parser.add_argument("--fresh", action="store_true", help="forget what there is")
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--one", nargs=3, metavar=("TASK", "ENTRY", "SEED"), help="in this process; used by the others")
    options = parser.parse_args()
    if options.one:
        name, entry, seed = options.one
        task = tasks[name]
        ours = entry in task.entries
        keep(name, entry, int(seed), run(task, task.entries[entry], int(seed)) if ours else peer(task, entry))
        return
    if not options.table:
        data_folder()  # what there is stays as it is where nothing can be measured
    if options.fresh:
        RESULTS.unlink(missing_ok=True)
    for name in options.tasks if not options.table else ():
        task = tasks[name]
        for entry in [*task.entries, *(task.peers if options.peers else ())]:
            if options.entries and entry not in options.entries:
                continue
            several = options.seeds if entry in task.entries and not entry.startswith("auto") else 1
            for seed in range(several):
                if str(seed) in stored().get(name, {}).get(entry, {}):
                    continue
                print(f"{name}: {entry}, seed {seed}", file=sys.stderr, flush=True)
                subprocess.run([sys.executable, __file__, "--one", name, entry, str(seed)], check=False)
    heads, rows = write_table(tasks, stored(), README)
    if not options.json:
        table(heads, rows)
    print(json.dumps(stored()))


if __name__ == "__main__":
    main()
