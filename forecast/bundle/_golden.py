"""Golden windows: what a network answered when it was saved, to see after loading that it still answers the same.

    golden.npz
    |- past (N, L, F)            and known (N, L + H, Fk), static (N, Fs), series (N,) where the network takes them
    `- y (N, H, K)               its answers, scaled as it gives them

    loaded network --- past ---> answers --- compared with ---> y

A sha256 tells that the weights are the same; this tells that Keras and TensorFlow still compute the same with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import BundleError

from .._keras import load_keras

if TYPE_CHECKING:
    import keras

# Answers may differ by this share of the largest golden answer. Sums in another order, as other processors make them,
# differ by about a tenth of it; another activation or a gate in another place by a hundred times as much.
TOLERANCE = 1e-4


def smoke(model: keras.Model, golden: str | Path) -> None:
    """Compares what a network answers to its golden inputs with what it answered when it was saved.

    They may differ by `TOLERANCE` times the largest golden answer. TensorFloat-32, which rounds factors to three
    decimals and is what GPUs use by default, is off meanwhile.

    Args:
        model: The network as loaded.
        golden: The file; other arrays in it are left alone.

    Raises:
        BundleError: The answers differ, or the file does not fit the network.
    """
    try:
        with np.load(golden, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        wanted = arrays["y"]  # (N, H, K)
        names = [tensor.name for tensor in model.inputs]
        inputs = arrays["past"] if len(names) == 1 else {name: arrays[name] for name in names}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise BundleError(
            f"Golden windows must hold y and every input of the network. Received: {golden}: {error}. Save the model "
            "again."
        ) from None
    try:
        received = answers(model, inputs)
    except Exception as error:  # whatever TensorFlow trips over: the file is input
        text = " ".join(str(error).split())[:300]
        raise BundleError(
            f"The network must take its golden inputs. Received for {golden}: {text}. Save the model again."
        ) from error
    if received.shape != wanted.shape:
        raise BundleError(
            f"The network must answer in the shape it had when saved, {wanted.shape}. Received: {received.shape}, for "
            f"{golden}. Save the model again."
        )
    largest = float(np.abs(wanted).max(initial=0.0))
    drift = float(np.abs(received.astype(np.float64) - wanted).max(initial=0.0))
    allowed = TOLERANCE * largest + 1e-7
    if not drift <= allowed:  # NaN is drift, too
        raise BundleError(
            f"The network must answer as it did when saved, within {allowed:.2g}. Received: a difference of "
            f"{drift:.2g}, for {golden}. Install the library versions that its manifest names, or train and save again."
        )


def answers(model: keras.Model, inputs: Any) -> np.ndarray:
    """Returns what a network answers, in full float32: what to write into `golden.npz` as `y`.

    Args:
        model: The network.
        inputs: The array `past`, or a mapping of arrays by name where the network has several inputs.
    """
    keras = load_keras()
    import tensorflow as tf

    short = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        found: np.ndarray = keras.ops.convert_to_numpy(model(inputs, training=False))  # (N, H, K)
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(short)
    return found
