"""One LSTM over a batch that is cut into slices, which run side by side, with a gradient of its own.

    x (B, T, F) -> zero rows appended -> slices (b, T, F), one a core -> steps -> joined, cut back to B

    B = 32 on 2 cores: b = 16, 16         B = 33: b = 24, 24, of which 15 rows are zeros

Windows of a batch know nothing of each other in an LSTM, so each core takes some through all steps. XLA compiles for
fixed shapes, and a batch may have any number of windows: slices are filled up to one of a few sizes, so a call of a new
size compiles nothing once those near it were met.

Axes: `B` windows of the batch, `b` of a slice, `T` time steps, `F` features, `U` units.
"""

import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ._fast_steps import BACKWARD, FORWARD, FORWARD_KEEPING, INPUT_GRADIENT

SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # rows of a slice; beyond: multiples of 512
MOST_SLICES = 8  # a batch of 32 gives no more than rows enough for these


def slice_count() -> int:
    """Returns how many slices run at once: one a core, fewer where TensorFlow was given fewer threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = tf.config.threading.get_inter_op_parallelism_threads() or int(os.environ.get("TF_NUM_INTEROP_THREADS", 0))
    return max(1, min(cores, told or cores, MOST_SLICES))  # 0 leaves it to TensorFlow


def run(x: Any, h0: Any, c0: Any, W: Any, R: Any, b: Any, *, sequences: bool, keep: bool) -> tuple[Any, Any, Any]:
    """Runs an LSTM; its gradients are those of Keras's own loop.

    Args:
        x: Inputs `(B, T, F)` in the order in which they are read.
        h0: First hidden state `(B, U)`.
        c0: First cell state `(B, U)`.
        W: Kernel `(F, 4U)`, gates in Keras's order i, f, c, o.
        R: Recurrent kernel `(U, 4U)`.
        b: Bias `(4U,)`.
        sequences: Whether all hidden states are wanted, or the last one.
        keep: Keeps what gradients need; else a gradient runs forward once more.

    Returns:
        Outputs `(B, T, U)` or `(B, 1, U)`, and the last states `(B, U)` and `(B, U)`.
    """
    slices = slice_count()

    @tf.custom_gradient
    def lstm(x: Any, h0: Any, c0: Any, W: Any, R: Any, b: Any) -> Any:
        # A tape that looks on would record the loops, too, and make them store all that their own gradients need.
        x, h0, c0, W, R, b = (tf.stop_gradient(value) for value in (x, h0, c0, W, R, b))
        B = tf.shape(x)[0]
        rows = _size(-(-B // slices))

        def cut(value: Any) -> list[Any]:
            padding = [[0, rows * slices - B]] + [[0, 0]] * (value.shape.rank - 1)
            return list(tf.split(tf.pad(value, padding), slices))  # pads nothing and copies nothing where it fits

        def join(parts: Sequence[Any]) -> Any:
            return tf.concat(parts, 0)[:B]

        def forward(function: Any) -> list[Any]:
            parts = zip(cut(x), cut(h0), cut(c0), strict=True)
            return [function(*part, W, R, b) for part in parts]

        done = forward((FORWARD_KEEPING if keep else FORWARD)[sequences])

        def gradient(d_outputs: Any, dh: Any, dc: Any) -> tuple[Any, ...]:
            kept = [part[3:] for part in (done if keep else forward(FORWARD_KEEPING[sequences]))]
            if not sequences:
                dh = dh + d_outputs[:, 0]  # the output is the last hidden state
            d_parts = cut(d_outputs) if sequences else [d_outputs[:0]] * slices
            parts = zip(kept, d_parts, cut(dh), cut(dc), strict=True)
            back = [BACKWARD[sequences](*one, R, *d_part) for one, *d_part in parts]
            dz, dh0, dc0, *weights = zip(*back, strict=True)
            dx = join([INPUT_GRADIENT(part, W) for part in dz])
            return dx, join(dh0), join(dc0), *[tf.add_n(parts) for parts in weights]

        return tuple(join([part[k] for part in done]) for k in range(3)), gradient

    results: tuple[Any, Any, Any] = lstm(x, h0, c0, W, R, b)
    return results


def _size(rows: Any) -> Any:
    """Returns the next size of a slice that has room for some rows."""
    sizes = tf.constant(SIZES)
    small = tf.gather(sizes, tf.searchsorted(sizes, tf.minimum(rows, SIZES[-1])[None])[0])
    return tf.where(rows > SIZES[-1], -(-rows // SIZES[-1]) * SIZES[-1], small)
