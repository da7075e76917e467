"""Ways of putting an LSTM network into a .tflite file: what comes out, how large, how true, how fast, or how it fails.

    LSTM 64 -> LSTM 32 -> Dense, 60 steps, 5 features, trained for a few epochs on noisy sines

Each of the usual ways is really tried, in a process of its own, because some of them end it. Latency is the median of
one window on one thread; the files take turns. Integer figures of fused files are x86's: there the kernel is scalar,
on Arm it is not.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _report import arguments, report

LOOKBACK, FEATURES, WINDOWS = 60, 5, 1200
ROUNDS, CALLS = 15, 20


def data() -> tuple[np.ndarray, np.ndarray]:
    """Returns windows `(N, L, F)` and what follows each `(N, 1)`."""
    rng = np.random.default_rng(0)
    t = np.arange(WINDOWS + LOOKBACK)
    rows = np.stack([np.sin(t / (3 + f)) for f in range(FEATURES)], axis=1) + 0.2 * rng.normal(size=(len(t), FEATURES))
    index = np.arange(WINDOWS)[:, None] + np.arange(LOOKBACK)
    return rows[index].astype(np.float32), rows[LOOKBACK:, :1].astype(np.float32)


def network(unroll: bool = False) -> Any:
    """Returns the network, not trained."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((LOOKBACK, FEATURES)),
            layers.LSTM(64, return_sequences=True, unroll=unroll),
            layers.LSTM(32, unroll=unroll),
            layers.Dense(1),
        ]
    )


# --- the usual ways, each in a process of its own -------------------------------------------------------------------


def keras_export(model: Any, path: str, x: np.ndarray) -> None:
    """Keras's own export."""
    model.export(path, format="litert", verbose=False)


def keras_export_int8(model: Any, path: str, x: np.ndarray) -> None:
    """Keras's own export, with the options of an integer model."""
    import tensorflow as tf

    options = {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": lambda: ([x[n : n + 1]] for n in range(100)),
        "target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
    }
    model.export(path, format="litert", verbose=False, **options)


def _converter(path: str, converter: Any, x: np.ndarray, integer: bool) -> None:
    import tensorflow as tf

    if integer:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: ([x[n : n + 1]] for n in range(100))
    Path(path).write_bytes(converter.convert())


def from_keras_model(model: Any, path: str, x: np.ndarray) -> None:
    """TFLiteConverter.from_keras_model, the batch left open."""
    import tensorflow as tf

    _converter(path, tf.lite.TFLiteConverter.from_keras_model(model), x, integer=False)


def _one_window(model: Any) -> Any:
    import keras

    inputs = keras.Input((LOOKBACK, FEATURES), batch_size=1)
    return keras.Model(inputs, model(inputs))


def batch_1(model: Any, path: str, x: np.ndarray) -> None:
    """from_keras_model with a batch of 1."""
    import tensorflow as tf

    _converter(path, tf.lite.TFLiteConverter.from_keras_model(_one_window(model)), x, integer=False)


def batch_1_int8(model: Any, path: str, x: np.ndarray) -> None:
    """from_keras_model with a batch of 1, as integers."""
    import tensorflow as tf

    _converter(path, tf.lite.TFLiteConverter.from_keras_model(_one_window(model)), x, integer=True)


def unroll_int8(model: Any, path: str, x: np.ndarray) -> None:
    """keras.layers.LSTM(unroll=True), batch of 1, as integers."""
    import tensorflow as tf

    other = network(unroll=True)
    other.set_weights(model.get_weights())
    _converter(path, tf.lite.TFLiteConverter.from_keras_model(_one_window(other)), x, integer=True)


USUAL: dict[str, Callable[[Any, str, np.ndarray], None]] = {
    "Keras export": keras_export,
    "Keras export, int8": keras_export_int8,
    "from_keras_model": from_keras_model,
    "from_keras_model, batch 1": batch_1,
    "from_keras_model, batch 1, int8": batch_1_int8,
    "unroll=True, int8": unroll_int8,
}

OURS = {
    f"ours, {layout} {quantize}": {"layout": layout, "quantize": quantize}
    for layout, kinds in {
        "fused": ("float32", "float16", "dynamic", "int8"),
        "unrolled": ("float32", "int8"),
        "step": ("float32", "int8", "int16"),
    }.items()
    for quantize in kinds
}


def attempt(name: str, folder: str) -> None:
    """Tries one of the usual ways; runs in a process of its own."""
    import keras

    x, _ = data()
    USUAL[name](keras.models.load_model(f"{folder}/network.keras"), f"{folder}/model.tflite", x)


def tried(name: str, folder: Path) -> tuple[bytes | None, str]:
    """Returns the file that one of the usual ways leads to, or how it fails."""
    target = folder / "model.tflite"
    target.unlink(missing_ok=True)
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--attempt", name, str(folder)],
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode < 0:
        return None, f"the process dies of {signal.Signals(-run.returncode).name}"
    if run.returncode:
        kinds, operators = (
            re.findall(pattern, run.stderr) for pattern in (r"(?m)^[\w.]*?(\w+Error)\b", r"TensorList\w+")
        )
        return None, ": ".join([(kinds or ["an error"])[-1], *operators[:1]])
    return target.read_bytes(), ""


# --- measuring ------------------------------------------------------------------------------------------------------


class File:
    """A file on LiteRT, fed window by window; a step file is fed row by row."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_content=content, num_threads=1)
        self.interpreter.allocate_tensors()
        self.inputs, self.outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.times: list[float] = []

    def __call__(self, window: np.ndarray) -> np.ndarray:
        self.interpreter.reset_all_variables()
        values = [_integers(window[None], self.inputs[0])]
        if len(self.inputs) == 1:
            return self._run(values)[0]
        states = [_integers(np.zeros(detail["shape"], np.float32), detail) for detail in self.inputs[1:]]
        for row in window:
            y, *states = self._run([_integers(row[None], self.inputs[0]), *states])
        return y

    def _run(self, values: list[np.ndarray]) -> list[np.ndarray]:
        for detail, value in zip(self.inputs, values, strict=True):
            self.interpreter.set_tensor(detail["index"], value)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(detail["index"]) for detail in self.outputs]

    def answers(self, windows: np.ndarray) -> np.ndarray:
        """Returns the answers as real numbers."""
        raw = np.stack([self(window).reshape(-1) for window in windows])
        scale, zero = self.outputs[0]["quantization"]
        return (raw.astype(np.float32) - zero) * scale if scale else raw


def _integers(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail["quantization"]
    if not scale or detail["dtype"] == np.float32:
        return values.astype(detail["dtype"])
    info = np.iinfo(detail["dtype"])
    return np.clip(np.round(values / scale) + zero, info.min, info.max).astype(detail["dtype"])


def operators(content: bytes) -> str:
    """Returns the most frequent operators of a file."""
    from forecast.export import flatbuffer

    counts = Counter(flatbuffer.operators(flatbuffer.read(content)))
    return f"{sum(counts.values()):,} operators"


def main() -> None:
    """Tries all and prints the table."""
    if sys.argv[1:2] == ["--attempt"]:
        attempt(*sys.argv[2:4])
        return
    options = arguments(__doc__).parse_args()
    warnings.simplefilter("ignore")
    from forecast._keras import load_keras

    keras = load_keras()
    from forecast import ExportError
    from forecast.export import to_tflite

    x, y = data()
    keras.utils.set_random_seed(0)
    model = network()
    model.compile("adam", "mse")
    model.fit(x[:1000], y[:1000], epochs=5, verbose=0)
    held = x[1000:]
    truth = model.predict(held, verbose=0)
    files: dict[str, bytes] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save(folder / "network.keras")
        for way in USUAL:
            content, why = tried(way, folder)
            if content is None:
                failed[way] = why
            else:
                files[way] = content
        for way, settings in OURS.items():
            try:
                made = to_tflite(model, folder / "ours.tflite", x[:1000], held_out=held, max_core_error=1, **settings)
                files[way] = Path(made.path).read_bytes()
            except ExportError as error:
                failed[way] = str(error)[:90]
    running: dict[str, File] = {}
    for way, content in files.items():
        try:
            running[way] = File(content)
        except (RuntimeError, ValueError) as error:
            failed[way] = f"LiteRT refuses it: {' '.join(str(error).split())[:70]}"
    errors = {way: float(np.sqrt(np.mean((f.answers(held) - truth) ** 2)) / truth.std()) for way, f in running.items()}
    for _ in range(ROUNDS):
        for file in running.values():
            for _ in range(CALLS):
                start = time.perf_counter()
                file(held[0])
                file.times.append(time.perf_counter() - start)
    bare = {way: _without_metadata(content) for way, content in files.items()}
    rows, figures = [], {}
    for way in (*USUAL, *OURS):
        if way in running:
            us = float(np.median(running[way].times)) * 1e6
            figures[way] = {"bytes": bare[way], "error": errors[way], "us": us}
            rows.append([way, f"{bare[way]:,}", f"{errors[way]:.2%}", f"{us:,.0f}", operators(files[way])])
        else:
            size = f"{bare[way]:,}" if way in bare else "-"
            figures[way] = {"failed": failed[way]}
            rows.append([way, size, "-", "-", failed[way]])
    report(["way", "bytes", "error", "us a window", "what is in it, or how it fails"], rows, figures, options.json)


def _without_metadata(content: bytes) -> int:
    """Returns the size of a file without what ours say of themselves."""
    from forecast.export import flatbuffer

    model = flatbuffer.read(content)
    if not any(entry.name == flatbuffer.METADATA.encode() for entry in model.metadata or []):
        return len(content)
    model.metadata = None
    flatbuffer.drop_unused(model)
    return len(flatbuffer.write(model))


if __name__ == "__main__":
    main()
