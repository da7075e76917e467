"""Runs TensorFlow's converter in a process of its own: `python _child.py jobs.json`.

Where an operator is not covered, the converter does not raise but dies, and would take the notebook with it. Each
result is written as soon as it is there, so that the jobs before a death are not lost. This file imports nothing of
the project.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def convert(job: dict[str, Any]) -> bytes:
    """Returns the .tflite file of a job: `saved_model`, `quantize` and, for integers, `samples`."""
    import numpy as np
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(job["saved_model"])
    kind = job["quantize"]
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in ("int8", "int16"):
        sets = tf.lite.OpsSet
        converter.target_spec.supported_ops = [
            sets.TFLITE_BUILTINS_INT8
            if kind == "int8"
            else sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]

        def samples() -> Iterator[dict[str, Any]]:
            with np.load(job["samples"], allow_pickle=False) as arrays:  # name -> (samples, *shape)
                values = {name: arrays[name] for name in arrays.files}
            for n in range(len(next(iter(values.values())))):
                yield {name: array[n] for name, array in values.items()}

        converter.representative_dataset = samples
        _calibrate_without_clip()
    data: bytes = converter.convert()
    return data


def _calibrate_without_clip() -> None:
    """Lets the cells of LSTMs run free while ranges are measured.

    The converter writes a clip at 10 into every LSTM, and then measures with it; Keras clips nothing. It has no option
    for that, so its calibrator is replaced, in a process that does nothing else.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.python.optimize import calibrator

    if calibrator.Calibrator.__name__ == "Unclipped":
        return

    class Unclipped(calibrator.Calibrator):
        def __init__(self, model_content: bytes, *args: Any, **kwargs: Any) -> None:
            import flatbuffers

            model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(model_content), 0))
            for graph in model.subgraphs:
                for op in graph.operators:
                    if isinstance(op.builtinOptions, schema.UnidirectionalSequenceLSTMOptionsT):
                        op.builtinOptions.cellClip = 0.0
            builder = flatbuffers.Builder(len(model_content))
            builder.Finish(model.Pack(builder), b"TFL3")
            super().__init__(bytes(builder.Output()), *args, **kwargs)

    calibrator.Calibrator = Unclipped


def main(path: str) -> None:
    """Does all jobs of a file, in order; a refusal is written beside where the result would be."""
    for job in json.loads(Path(path).read_text(encoding="utf-8")):
        out = Path(job["out"])
        try:
            data = convert(job)
        except Exception as error:
            out.with_suffix(".refused").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
            continue
        partial = out.with_suffix(".partial")
        partial.write_bytes(data)
        partial.replace(out)


if __name__ == "__main__":
    main(sys.argv[1])
