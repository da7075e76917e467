"""Any recurrent Keras model as a small file that runs without TensorFlow, compared with Keras before it is written.

    Forecaster.export("goog.tflite")         the file, and goog.report.json beside it
    Forecaster.export("goog_edge/")          the whole folder: file, report, picture, run.py, C files
    to_tflite(keras_model, "m.tflite", calibration=windows)

    keras.Model -> preflight -> trace (layouts/) -> converter (its own process) -> repairs -> graft -> parity -> file

Only the core of a network becomes integers; scaling and window normalisation stay float operations around it, or the
host's. A file that drifts from Keras is not written: that is an ExportError.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np

    from ..forecaster import Forecaster
    from ..prepare import Data
    from .output import ExportReport

__all__ = ["export", "to_tflite"]


def export(
    forecaster: Forecaster,
    path: str | Path,
    quantize: str = "int8",
    *,
    data: Data | None = None,
    quiet: bool = False,
    **options: Any,
) -> ExportReport:
    """Writes a trained forecaster as a file; see `Forecaster.export`. Its bundle remembers the export."""
    from .._keras import load_keras

    load_keras()
    from ..bundle._exports import remember
    from ..training.progress import Progress
    from . import output, tflite
    from .of_forecaster import of_forecaster
    from .options import ExportSpec

    spec, progress = ExportSpec(**{"quantize": quantize, **options}), Progress(quiet)
    output.check_place(path)
    report = output.write(tflite.build(of_forecaster(forecaster, spec, data), spec, progress.say), path)
    if forecaster.path_ is not None:
        forgotten = remember(forecaster.path_.parent, report.entry(forecaster.manifest_["version"]))
        if forgotten:
            progress.say(f"The export is not listed beside its bundle: {forgotten}")
    return report


def to_tflite(
    model: keras.Model,
    path: str | Path,
    calibration: Any,
    quantize: str = "int8",
    *,
    held_out: Any = None,
    y_true: np.ndarray | None = None,
    quiet: bool = True,
    **options: Any,
) -> ExportReport:
    """Writes a Sequential or functional Keras model as a .tflite file that gives the same answers.

    Args:
        model: A built model with one output `(N, ...)`; layers may be nested, bidirectional or the user's own.
        path: Such as "model.tflite"; anything else is a folder that gets the report, `run.py` and C files, too.
        calibration: Windows that it was trained on `(N, L, F)`, 31 at least; arrays by name where it has several
            inputs.
        quantize: "int8", "float32", "float16", "dynamic" or "int16".
        held_out: Windows to compare on; every fifth of `calibration` by default.
        y_true: What happened after the held-out windows, `(M, H, K)`: then MAE is compared, too.
        quiet: Show no progress.
        options: Others of `forecast.export.options.ExportSpec`, such as `layout="unrolled"`.

    Returns:
        What was written and measured; print it.

    Raises:
        ExportError: A layer cannot be converted, or the file drifted from Keras; nothing is written then.
        DataError: Calibration windows are too few, or no numbers.
        ConfigError: The path cannot be written, or options exclude each other.
    """
    from .._keras import load_keras

    load_keras()
    from ..training.progress import Progress
    from . import output, subject, tflite
    from .options import ExportSpec

    spec = ExportSpec(**{"quantize": quantize, **options})
    output.check_place(path)
    one = subject.of_model(model, calibration, held_out, y_true, spec.seed)
    return output.write(tflite.build(one, spec, Progress(quiet).say), path)
