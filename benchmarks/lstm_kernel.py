"""Seconds of an epoch and of a prediction: the fast LSTM kernel, Keras's own loop, PyTorch.

    python benchmarks/lstm_kernel.py            needs `make peers` for PyTorch; without it those columns are empty

LSTM 64 -> LSTM 32 -> Dense 1, windows (6400, 60, 5), Adam, mean squared error, 2 threads each. All take turns, an epoch
each, after two epochs that warm up and compile; the middle one of several counts. Both Keras models read the same
tf.data pipeline, whose autotuning is off: it takes turns with the kernel for the cores, and an epoch may have to wait
until its thread wakes up.

    keras         keras.layers.LSTM, compile() and fit() as they are by default: jit_compile="auto" is False for an LSTM
    keras xla     the same with jit_compile=True
    ours          the same network in `with fast(model)`
    ours x8       and steps_per_execution=8
    torch         nn.LSTM; at batch 256 glibc returns its memory to the system in each step, and page faults rule
    torch cured   the same with MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ raised, which ends that

A prediction is `model.predict(x, batch_size=256)` for Keras, one tf.function that is traced once for us.
Bars: training at least 2 times Keras at batch 32 and never slower; 0.6 times PyTorch's speed at 32 and 128, level with
it at 256 as it comes; prediction at least 2 times Keras and 0.6 times PyTorch. Aims: 3 times Keras, level with PyTorch.
"""

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from _report import arguments, report

STEPS, FEATURES, THREADS = 60, 5, 2
BATCHES = (32, 128, 256)
PREDICTED = 256  # windows a call
PEER = Path(__file__).parents[1] / ".venv-peers/bin/python"
KEPT = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}

Run = Callable[[], float]


def timed(run: Callable[[], Any]) -> Run:
    """Returns a function that runs another and returns its seconds."""

    def seconds() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return seconds


class Torch:
    """A child process with PyTorch, which runs an epoch when told."""

    def __init__(self, windows: int, environment: dict[str, str]) -> None:
        command = [PEER, Path(__file__).with_name("peer_torch_lstm.py"), windows, STEPS, FEATURES, THREADS]
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def run(self, task: str, batch: int) -> float:
        """Returns the seconds of one epoch in the child."""
        assert self.process.stdin  # noqa: S101
        assert self.process.stdout  # noqa: S101
        self.process.stdin.write(f"{task} {batch}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """Ends the child."""
        assert self.process.stdin  # noqa: S101
        self.process.stdin.close()
        self.process.wait()


def alternate(runs: dict[str, Run], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the middle seconds of each, and the seconds of its first run, which compiles."""
    first = {name: run() for name, run in runs.items()}
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(run())
    return {name: statistics.median(one) for name, one in seconds.items()}, first


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--windows", type=int, default=6400)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from forecast._keras import load_keras

    keras = load_keras()
    import tensorflow as tf

    from forecast.layers.fast_lstm import fast

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    x = np.random.default_rng(0).normal(size=(given.windows, STEPS, FEATURES)).astype(np.float32)
    y = x[:, -1, :1] / 2
    peers = {}
    if PEER.exists():
        peers = {"torch": Torch(given.windows, {}), "torch cured": Torch(given.windows, KEPT)}

    def network() -> Any:
        keras.utils.set_random_seed(0)
        layers = [keras.layers.LSTM(64, return_sequences=True), keras.layers.LSTM(32), keras.layers.Dense(1)]
        return keras.Sequential([keras.Input((STEPS, FEATURES)), *layers])

    def training(batch: int, kernel: Any = None, **settings: Any) -> Run:
        options = tf.data.Options()
        options.autotune.enabled = False
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch).prefetch(4).with_options(options)
        model = network()
        model.compile("adam", "mse", **settings)

        def epoch() -> None:
            with kernel(model) if kernel else nullcontext():
                model.fit(data, shuffle=False, verbose=0)

        return timed(epoch)

    def peer(task: str, batch: int) -> dict[str, Run]:
        return {name: lambda torch=torch: torch.run(task, batch) for name, torch in peers.items()}

    def ours_predicts() -> Run:
        model = network()
        signature = [tf.TensorSpec([None, STEPS, FEATURES], tf.float32)]
        call = tf.function(lambda past: model(past, training=False), input_signature=signature, autograph=False)
        with fast(model):
            call.get_concrete_function()
        return timed(lambda: [call(x[first : first + PREDICTED]).numpy() for first in range(0, len(x), PREDICTED)])

    found, compiled = {}, {}
    for batch in BATCHES:
        runs = {
            "keras": training(batch),
            "keras xla": training(batch, jit_compile=True),
            "ours": training(batch, fast, jit_compile=False),
            "ours x8": training(batch, fast, jit_compile=False, steps_per_execution=8),
            **peer("train", batch),
        }
        found[f"train {batch}"], compiled[f"train {batch}"] = alternate(runs, given.rounds)
        keras.backend.clear_session()
    stock = network()
    runs = {
        "keras": timed(lambda: stock.predict(x, batch_size=PREDICTED, verbose=0)),
        "ours": ours_predicts(),
        **peer("predict", PREDICTED),
    }
    found["predict"], compiled["predict"] = alternate(runs, given.rounds)
    for torch in peers.values():
        torch.close()

    names = ["keras", "keras xla", "ours", "ours x8", "torch", "torch cured"]
    passed = all(_passes(task, seconds) for task, seconds in found.items())
    rows = []
    for task, seconds in found.items():
        best = _best(seconds)
        ratios = [f"{seconds[peer] / best:.2f}x" if peer in seconds else "-" for peer in ("keras", *names[4:])]
        rows.append([task, *[f"{seconds[name]:.3f}" if name in seconds else "-" for name in names], *ratios])
    for task, seconds in compiled.items():
        rows.append([f"{task}, first", *[f"{seconds[name]:.1f}" if name in seconds else "-" for name in names]])
    width = len(names) + 4
    figures = {
        "seconds": {task: {name: round(value, 4) for name, value in one.items()} for task, one in found.items()},
        "first": {task: {name: round(value, 2) for name, value in one.items()} for task, one in compiled.items()},
        "windows": given.windows,
        "torch": bool(peers),
        "passed": passed,
    }
    headings = ["seconds", *names, "vs keras", "vs torch", "vs cured"]
    report(headings, [row + [""] * (width - len(row)) for row in rows], figures, given.json)


def _best(seconds: dict[str, float]) -> float:
    return seconds.get("ours x8", seconds["ours"])


def _passes(task: str, seconds: dict[str, float]) -> bool:
    best = _best(seconds)
    keras_bar = {"train 32": 2.0, "predict": 2.0}.get(task, 1.0)
    torch_bar = {"train 256": 1.0}.get(task, 0.6)
    return seconds["keras"] >= keras_bar * best and seconds.get("torch", np.inf) >= torch_bar * best


if __name__ == "__main__":
    main()
