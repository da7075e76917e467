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

    from .output import ExportReport

__all__ = ["to_tflite"]


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
