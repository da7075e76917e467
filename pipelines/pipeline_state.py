"""What a fitted DataPipeline learned, as plain files: names and settings in JSON, numbers in npz, no pickle."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from .errors import NotFitted
from .pipeline import DataPipeline, PipelineSpec
from .scaling import Scaler


def save(pipeline: DataPipeline, folder: Path) -> None:
    """Writes `pipeline.json` and `pipeline.npz` into a folder.

    Raises:
        NotFitted: There is nothing to write yet.
    """
    scaler = pipeline.scaler_
    if scaler is None or scaler.factor_ is None or scaler.shift_ is None:
        raise NotFitted("A pipeline must be fitted before it is saved. Call fit on training rows first.")
    about = {
        "spec": pipeline.spec.model_dump(mode="json"),
        "columns": pipeline.columns_,
        "inputs": pipeline.inputs_,
        "known": pipeline.known_,
        "ids": pipeline.ids_,
        "scaled_ids": scaler.ids_,
    }
    (folder / "pipeline.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    F, K = len(pipeline.inputs_), len(pipeline.spec.targets)
    arrays: dict[str, Any] = {
        "factor": scaler.factor_,
        "shift": scaler.shift_,
        "bounds": np.array([pipeline.bounds_[name] for name in pipeline.ids_]).reshape(-1, 2, F),
        "sigma": np.array([pipeline.sigma_.get(name, np.ones(K)) for name in pipeline.ids_]).reshape(-1, K),
        "static": np.array(pipeline.static_ if pipeline.static_ else np.empty((2, 0))),
    }
    np.savez_compressed(folder / "pipeline.npz", **arrays)


def load(folder: Path) -> DataPipeline:
    """Returns the pipeline that `save` wrote.

    Raises:
        ConfigError: A setting in it is unknown to this version.
    """
    about = json.loads((folder / "pipeline.json").read_text(encoding="utf-8"))
    with np.load(folder / "pipeline.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    pipeline = DataPipeline(PipelineSpec(**about["spec"]))
    pipeline.prepare(tuple(about["columns"]))
    pipeline.ids_ = tuple(about["ids"])
    pipeline.scaler_ = Scaler(pipeline.spec.scaling, logged=pipeline.levels_)
    pipeline.scaler_.restore(about["scaled_ids"], arrays["factor"], arrays["shift"])
    pipeline.bounds_ = dict(zip(pipeline.ids_, arrays["bounds"], strict=True))
    if pipeline.spec.predict == "return":
        pipeline.sigma_ = dict(zip(pipeline.ids_, arrays["sigma"], strict=True))
    if pipeline.spec.static:
        pipeline.static_ = (arrays["static"][0], arrays["static"][1])
    return pipeline
