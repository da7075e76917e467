"""One model of another library on one task of `accuracy.py`, in the environment of `make peers`.

    .venv-peers/bin/python benchmarks/peer_accuracy.py MODEL FOLDER

    FOLDER/rows.parquet    unique_id, ds (0, 1, 2, ... in each series), y: all rows, without gaps
    FOLDER/task.json       horizon, season_length, lookback, first validation and test row and cutoffs of each series,
                           seconds, seed
    FOLDER/MODEL.parquet   unique_id, cutoff, step, y_pred: what it forecasts
    FOLDER/MODEL.json      its version, settings, seconds, parameters

Settings are those that the libraries document: class defaults where a tutorial has no others. No test row is
fitted on. Networks stop early on the validation rows and forecast each cutoff from the rows before it; a statistical
model is fitted on all rows before the test and, at later cutoffs, applied to the rows so far with the same parameters.
"""

import json
import logging
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)  # a level set for Lightning alone is lost when it is imported

THREADS = 2
LONG = 1_200  # rows that a statistical model is fitted on, at most: the latest, as more take it minutes a series
EPOCH = 250  # batches of an epoch of darts, at most: drawn from all windows, as one over all of them takes minutes
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}

Found = tuple[list[pd.DataFrame], dict[str, Any]]


class Task:
    """What is asked, read from a folder."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "task.json").read_text())
        rows = pd.read_parquet(folder / "rows.parquet")
        self.series = {str(name): one["y"].to_numpy(float) for name, one in rows.groupby("unique_id", sort=False)}
        self.horizon, self.season = int(about["horizon"]), int(about["season_length"])
        self.lookback, self.seed = int(about["lookback"]), int(about["seed"])
        self.seconds = float(about["seconds"] or np.inf)
        self.validation, self.test = about["validation"], about["test"]
        self.cutoffs: dict[str, list[int]] = about["cutoffs"]

    def limit(self) -> dict[str, Any]:
        """Returns what ends the training of a network by the clock."""
        return {"max_time": {"seconds": int(self.seconds)}} if np.isfinite(self.seconds) else {}

    def late(self, seconds: float) -> str:
        """Returns that a training was ended by the clock, or nothing."""
        return f"training ended at the limit of {self.seconds:.0f} s" if seconds >= self.seconds else ""

    def windows(self, rows: int) -> Iterator[tuple[str, int, np.ndarray]]:
        """Yields each series, cutoff, and the last rows up to it."""
        for name, y in self.series.items():
            for cutoff in self.cutoffs.get(name, []):
                yield name, cutoff, y[max(cutoff + 1 - rows, 0) : cutoff + 1]

    def training(self) -> pd.DataFrame:
        """Returns all rows before the test, in long form."""
        parts = [
            pd.DataFrame({"unique_id": name, "ds": np.arange(self.test[name]), "y": y[: self.test[name]]})
            for name, y in self.series.items()
            if self.test[name] > 0
        ]
        return pd.concat(parts, ignore_index=True)


def answers(name: str, cutoff: int, y_pred: np.ndarray) -> pd.DataFrame:
    """Returns the rows of one forecast."""
    steps = np.arange(1, len(y_pred) + 1)
    return pd.DataFrame({"unique_id": name, "cutoff": cutoff, "step": steps, "y_pred": np.asarray(y_pred, float)})


# --- neuralforecast ---------------------------------------------------------------------------------------------------


def neuralforecast(model: str, task: Task) -> Found:
    """Returns the forecasts of a network, with the scaling and early stopping of the library's tutorials."""
    import torch
    from neuralforecast import NeuralForecast, models

    torch.set_num_threads(THREADS)
    settings: dict[str, Any] = {
        "input_size": task.lookback,
        "scaler_type": "robust",  # as the examples of all four have it
        "max_steps": 1000,  # this and the early stopping: the tutorial on long horizons
        "val_check_steps": 100,
        "early_stop_patience_steps": 3,
        "random_seed": 1 + task.seed,
    }
    if model == "DLinear":  # as in its example; 1e-4, the default of the class, is for 5,000 steps
        settings["learning_rate"] = 1e-3
    training = task.training()
    held = max(min(int(task.test[name]) - int(task.validation[name]) for name in task.series), task.horizon)
    if min(task.test[name] for name in task.series) - held < task.lookback:  # one short series, and it refuses all
        settings["start_padding_enabled"] = True
    network = getattr(models, model)(h=task.horizon, **settings, **QUIET, **task.limit())
    start = time.perf_counter()
    fitted = NeuralForecast(models=[network], freq=1)
    fitted.fit(training, val_size=held)
    trained = time.perf_counter()
    found: list[pd.DataFrame] = []
    batch: list[tuple[str, int, np.ndarray]] = []

    def told() -> None:
        parts = [
            pd.DataFrame({"unique_id": f"{n:06d}", "ds": np.arange(len(y)), "y": y})
            for n, (_, _, y) in enumerate(batch)
        ]
        said = fitted.predict(pd.concat(parts, ignore_index=True)).reset_index()
        for number, rows in said.groupby("unique_id"):
            name, cutoff, _ = batch[int(number)]
            found.append(answers(name, cutoff, rows[model].to_numpy()))
        batch.clear()

    for one in task.windows(task.lookback):
        batch.append(one)
        if len(batch) == 2048:
            told()
    if batch:
        told()
    count = sum(p.numel() for p in fitted.models[0].parameters())
    sizes = ("encoder_n_layers", "encoder_hidden_size", "decoder_layers", "decoder_hidden_size", "learning_rate")
    chosen = {key: network.hparams[key] for key in sizes if key in network.hparams}  # defaults, written out
    return found, {
        "library": "neuralforecast",
        "settings": settings | chosen,
        "why": task.late(trained - start),
        "fit_seconds": trained - start,
        "predict_seconds": time.perf_counter() - trained,
        "parameters": int(count),
    }


# --- darts ------------------------------------------------------------------------------------------------------------


def darts(model: str, task: Task) -> Found:
    """Returns the forecasts of `BlockRNNModel` with an LSTM, on series scaled to 0 and 1 as in its tutorials."""
    import torch
    from darts import TimeSeries
    from darts.dataprocessing.transformers import Scaler
    from darts.models import BlockRNNModel
    from pytorch_lightning.callbacks import EarlyStopping

    torch.set_num_threads(THREADS)
    settings: dict[str, Any] = {
        "model": "LSTM",
        "input_chunk_length": task.lookback,
        "output_chunk_length": task.horizon,
        "hidden_dim": 25,
        "n_rnn_layers": 1,
        "batch_size": 32,
        "n_epochs": 100,
        "optimizer_kwargs": {"lr": 1e-3},
        "random_state": task.seed,
    }
    stop = EarlyStopping(monitor="val_loss", patience=5, min_delta=0.0)
    trainer = {"callbacks": [stop], "limit_train_batches": EPOCH, **QUIET, **task.limit()}
    need = task.lookback + task.horizon
    names = [name for name in task.series if task.validation[name] >= need]

    def of(y: np.ndarray) -> Any:
        return TimeSeries.from_values(y.astype(np.float32))

    scalers = {name: Scaler() for name in task.series if task.validation[name] > 1}
    for name, one in scalers.items():
        one.fit(of(task.series[name][: task.validation[name]]))
    start = time.perf_counter()
    train = [scalers[n].transform(of(task.series[n][: task.validation[n]])) for n in names]
    check = [scalers[n].transform(of(task.series[n][task.validation[n] - task.lookback : task.test[n]])) for n in names]
    network = BlockRNNModel(**settings, pl_trainer_kwargs=trainer)
    network.fit(train, val_series=check)
    trained = time.perf_counter()
    windows = [one for one in task.windows(task.lookback) if one[0] in scalers and len(one[2]) == task.lookback]
    given = [scalers[n].transform(of(y)) for n, _, y in windows]
    said = network.predict(task.horizon, series=given, batch_size=1024)
    found = [
        answers(name, cutoff, scalers[name].inverse_transform(one).values()[:, 0])
        for (name, cutoff, _), one in zip(windows, said, strict=True)
    ]
    return found, {
        "library": "u8darts",
        "settings": {**settings, "scaler": "MinMax of each series", "patience": 5, "batches of an epoch": EPOCH},
        "why": task.late(trained - start),
        "fit_seconds": trained - start,
        "predict_seconds": time.perf_counter() - trained,
        "parameters": int(sum(p.numel() for p in network.model.parameters())),
    }


# --- statsforecast ----------------------------------------------------------------------------------------------------


def classic(model: str, season: int, rows: int) -> Any:
    """Returns a statistical model with its defaults; hours have days and weeks where the model can have both."""
    from statsforecast import models

    if model == "MSTL":
        return models.MSTL(season_length=[24, 168] if season == 24 and rows >= 2 * 168 else [season])
    return getattr(models, model)(season_length=season)


def of_series(job: tuple[str, str, np.ndarray, int, list[int], int, int]) -> tuple[str, list[pd.DataFrame], str]:
    """Fits one series and forecasts its cutoffs; runs in a process of its own."""
    warnings.filterwarnings("ignore")
    model, name, y, test, cutoffs, season, horizon = job
    first = max(test - LONG, 0)
    known = y[first:test]
    try:
        one = classic(model, season, len(known))
        if cutoffs == [test - 1]:
            return name, [answers(name, test - 1, one.forecast(y=known, h=horizon)["mean"])], ""
        one = one.fit(known)
        found = []
        for cutoff in cutoffs:
            said = one.forward(y=y[max(cutoff + 1 - LONG, 0) : cutoff + 1], h=horizon)["mean"]
            found.append(answers(name, cutoff, said))
        return name, found, ""
    except Exception as error:  # another library's: whatever it is, the series has no forecast, and the table says why
        return name, [], f"{type(error).__name__}: {error}"


def statsforecast(model: str, task: Task) -> Found:
    """Returns the forecasts of a statistical model for each series, as far as the time goes."""
    jobs = [
        (model, name, y, int(task.test[name]), task.cutoffs[name], task.season, task.horizon)
        for name, y in task.series.items()
        if task.cutoffs.get(name)
    ]
    few = min(jobs[0][3], max(4 * task.season, 20))
    of_series((model, jobs[0][1], jobs[0][2][:few], few, [few - 1], task.season, 1))  # numba compiles, for both
    start = time.perf_counter()
    found: list[pd.DataFrame] = []
    done, broken, late = 0, "", False
    with multiprocessing.Pool(THREADS) as pool:  # whose end also ends what still runs
        coming = pool.imap(of_series, jobs)
        while done < len(jobs) and not late:
            left = task.seconds - (time.perf_counter() - start)
            try:
                _, rows, why = coming.next(timeout=max(left, 0.0) if np.isfinite(left) else None)
            except multiprocessing.TimeoutError:
                late = True
            else:
                found += rows
                done, broken = done + 1, broken or why
    longest = max(min(job[3], LONG) for job in jobs)
    return found, {
        "library": "statsforecast",
        "settings": {"season_length": classic(model, task.season, longest).season_length, "latest rows": LONG},
        "fit_seconds": time.perf_counter() - start,
        "predict_seconds": 0.0,
        "parameters": None,
        "why": f"over the limit of {task.seconds:.0f} s after {done} of {len(jobs)} series" if late else broken,
    }


MODELS = {
    "neuralforecast_lstm": (neuralforecast, "LSTM"),
    "neuralforecast_gru": (neuralforecast, "GRU"),
    "neuralforecast_nhits": (neuralforecast, "NHITS"),
    "neuralforecast_dlinear": (neuralforecast, "DLinear"),
    "darts_blockrnn": (darts, "BlockRNNModel"),
    "statsforecast_mstl": (statsforecast, "MSTL"),
    "statsforecast_autoets": (statsforecast, "AutoETS"),
    "statsforecast_theta": (statsforecast, "DynamicOptimizedTheta"),
    "statsforecast_autoarima": (statsforecast, "AutoARIMA"),
}


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    library, model = MODELS[name]
    task = Task(folder)
    rows, about = library(model, task)
    asked = sum(len(task.cutoffs.get(one, [])) for one in task.series)
    missing = asked - sum(bool(np.isfinite(one["y_pred"]).all()) for one in rows)
    about = {"model": model, "why": "", **about, "version": version(about["library"])}
    about["why"] = about["why"] or (f"{missing} of {asked} windows without a forecast" if missing else "")
    about["done"] = not about["why"]
    found = pd.concat(rows, ignore_index=True) if rows else answers("", 0, np.empty(0))
    for path, write in (
        (folder / f"{name}.parquet", lambda to: found.to_parquet(to)),
        (folder / f"{name}.json", lambda to: Path(to).write_text(json.dumps(about, default=str))),
    ):
        temporary = path.with_name(f".{path.name}")
        write(temporary)
        os.replace(temporary, path)


if __name__ == "__main__":
    main()
