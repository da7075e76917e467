"""Turns a Forecaster into a bundle and back; `bundle.py` sees to folders, checksums and safety.

model.keras     the network, without its optimizer     golden.npz      inputs and outputs, for the check after loading
pipeline.json   columns, scaling: names and settings   history.csv     losses by epoch
pipeline.npz    scaling: arrays                        gradients.csv   of each layer, where they were watched
intervals.npz   errors on the calibration part         forecast.png    the forecast against ground truth
manifest.json   config, data, split, scores beside naive, versions, checksums
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.cleaning import CleaningReport
from pipelines.errors import DataError
from pipelines.pipeline import DataPipeline

from . import bundle, plotting
from .config import ForecastConfig
from .fitting import Fitted
from .selection import training_windows
from .uncertainty import Intervals
from .unseen import until

if TYPE_CHECKING:
    from .forecaster import Forecaster
    from .training.fit import TrainingRun

GOLDEN = 4  # windows kept for the check after loading


def save(forecaster: Forecaster, name: str, folder: str | Path | None = None) -> Path:
    """Writes the next version of a bundle and returns its folder.

    Raises:
        NotFitted: There is no trained network yet.
        ConfigError: The name cannot be a folder's.
    """
    return bundle.write(name, lambda path: _fill(forecaster, path), _manifest(forecaster), folder)


def load(
    cls: type[Forecaster],
    name: str | Path,
    folder: str | Path | None = None,
    custom_objects: dict[str, Any] | None = None,
) -> Forecaster:
    """Returns the forecaster of a bundle; see `Forecaster.load`."""
    path, manifest = bundle.open_bundle(name, folder)
    from ._keras import load_keras

    load_keras()
    network = bundle.load_network(path / "model.keras", custom_objects)
    bundle.smoke(network, path / "golden.npz")
    forecaster = cls(config=ForecastConfig(**manifest["config"]), custom_objects=custom_objects)
    pipeline = DataPipeline.load(path)
    intervals, run = Intervals.load(path, pipeline), _run(path, manifest["training"])
    forecaster._fitted = Fitted(pipeline, network, intervals, run, forecaster.config.quantiles)
    forecaster.path_, forecaster.manifest_ = path, manifest
    forecaster.unit_ = manifest["unit"]
    forecaster.dated_ = manifest.get("dated", {})
    forecaster.source_ = manifest["data"]["source"]
    forecaster.lineage_ = tuple(manifest.get("lineage", ()))
    if "auto" in manifest:
        from .auto import Leaderboard

        forecaster.leaderboard_ = Leaderboard.from_dict(manifest["auto"])
    return forecaster


def _run(path: Path, about: dict[str, Any]) -> TrainingRun | None:
    """Returns how the network was trained, where the bundle tells."""
    from .training.fit import TrainingRun

    if not (path / "history.csv").is_file():
        return None
    gradients = pd.read_csv(path / "gradients.csv") if (path / "gradients.csv").is_file() else None
    return TrainingRun(pd.read_csv(path / "history.csv"), about["best_epoch"], about["interrupted"], gradients)


def _fill(forecaster: Forecaster, path: Path) -> None:
    import keras

    from .models._shell import input_names
    from .training.data import feed

    network, pipeline, panel = forecaster.network_, forecaster.pipeline_, forecaster.panel_
    bare = keras.models.clone_model(network)  # without optimizer: half the size, and nothing to run at loading
    bare.set_weights(network.get_weights())
    bare.save(path / "model.keras")
    bundle.check_network(path / "model.keras", forecaster.custom_objects)  # what could not be loaded is not saved
    pipeline.save(path)
    if forecaster.intervals_ is not None:
        forecaster.intervals_.save(path)
    rows = pipeline.transform(panel)
    index = training_windows(pipeline, rows, forecaster.splits_, CleaningReport())  # what any fitted forecaster has
    few = index[np.linspace(0, len(index) - 1, min(GOLDEN, len(index))).astype(int)]
    inputs, _ = pipeline.batch(rows, few, future=False)
    names = input_names(network)
    inputs = {name: inputs[name] for name in names}
    golden: dict[str, Any] = {**inputs, "y": bundle.answers(network, feed(inputs, names))}
    np.savez_compressed(path / "golden.npz", **golden)
    if forecaster.run_ is not None:
        forecaster.run_.history.to_csv(path / "history.csv", index=False)
        if forecaster.run_.gradients is not None:
            forecaster.run_.gradients.to_csv(path / "gradients.csv", index=False)
    with contextlib.suppress(DataError):  # data that end in a long gap have no forecast to draw; they have a network
        plotting.write(forecaster, path / "forecast.png")


def _training(forecaster: Forecaster) -> dict[str, Any]:
    """Returns how the network was trained."""
    run, unfinished = forecaster.run_, forecaster._unfinished
    if run is None:
        return {}
    about = {"epochs": len(run.history) - 1, "best_epoch": run.best_epoch, "interrupted": run.interrupted}
    return about if unfinished is None else {**about, "run": unfinished.run}


def _manifest(forecaster: Forecaster) -> dict[str, Any]:
    panel, splits, report = forecaster.panel_, forecaster.splits_, forecaster.report_
    metrics: dict[str, Any] = {}
    verdict = ""
    notes: list[str] = []
    intervals: dict[str, Any] = {}
    for part in ("validation", "test") if forecaster.config.training.early_stopping else ("test",):
        try:
            scores = forecaster.evaluate(part=part)
        except DataError:  # the part holds no window: a model trained on all rows has no scores there
            continue
        metrics[part], verdict, notes = scores.to_dict(), scores.verdict, scores.notes
        if scores.coverage is not None:
            intervals[part] = scores.coverage.reset_index().to_dict("records")
    return {
        "model": forecaster.config.label,
        "target": list(forecaster.target),
        "unit": forecaster.unit_,
        "config": forecaster.config.model_dump(mode="json"),
        "data": {
            "source": forecaster.source_,
            "fingerprint": panel.fingerprint(),
            "series": len(panel.ids),
            "rows": len(panel),
            "first": str(panel.stamp(int(panel.ds.min()))),
            "last": str(panel.stamp(int(panel.ds.max()))),
            "until": until(panel),
            "calendars": sorted({calendar.code for calendar in panel.calendars}),
        },
        "dated": forecaster.dated_,
        "split": {"starts": splits.starts, "tails": splits.tails, "parts": splits.describe(panel)},
        "cleaning": report.to_dict(),
        "training": _training(forecaster),
        "lineage": list(forecaster.lineage_),
        **({} if forecaster.leaderboard_ is None else {"auto": forecaster.leaderboard_.to_dict()}),
        "metrics": metrics,
        "verdict": verdict,
        "notes": notes,
        **({} if forecaster.intervals_ is None else {"intervals": {**forecaster.intervals_.about(), **intervals}}),
    }
