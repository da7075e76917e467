"""The loops of an LSTM over time, compiled by XLA: forward, backward, and what is left for large products.

    forward    [x(t), h(t-1)] (B, F+U) . [W; R] (F+U, 4U) -> gates (B, 4U) -> c, h (B, U)        t = 0, 1, ..., T-1
    backward   dh, dc (B, U) -> dz (B, 4U) . R' (4U, U) -> dh, dc of the step before             t = T-1, ..., 1, 0
    after it   [x, h] (T*B, F+U)' . dz (T*B, 4U) -> dW, dR;   dz . W' -> dx                      all steps at once

One step costs so little that starting an operation costs as much, hence three rules. A tanh is `2 sigmoid(2x) - 1`, so
all four gates are one sigmoid of (B, 4U), with columns of weights that are twice as large. A step ends with its gates
and the next one begins with `c` and `h`: XLA would compute gates again for each of several uses in one step. The
gradients of weights are not summed step by step.

Axes: `B` windows, `T` time steps, `F` features, `U` units. Gates are in Keras's order i, f, c, o. XLA compiles each
function once for every shape that it meets; traced is each once in a process.

This module knows nothing of layers, and nothing of how a batch is cut into slices.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Compiled = Callable[..., Any]


def _compiled(function: Callable[..., Any]) -> Compiled:
    traced: Compiled = tf.function(function, jit_compile=True, autograph=False, reduce_retracing=True)
    return traced


def _new(length: Any, *shape: Any) -> Any:
    """Returns a list of tensors whose shape XLA knows and tracing does not, which a TensorArray cannot be told."""
    return tf.raw_ops.TensorListReserve(
        element_shape=tf.stack(shape), num_elements=length, element_dtype=tf.float32, name="kept"
    )


def _put(values: Any, t: Any, value: Any) -> Any:
    return tf.raw_ops.TensorListSetItem(input_handle=values, index=t, item=value)


def _stack(values: Any, *shape: Any) -> Any:
    return tf.raw_ops.TensorListStack(input_handle=values, element_shape=tf.stack(shape), element_dtype=tf.float32)


def _twice_for_tanh(U: Any) -> Any:
    """Returns `(4U,)`: 2 in the columns of the cell's candidate, 1 elsewhere."""
    return tf.concat([tf.ones([2 * U]), 2 * tf.ones([U]), tf.ones([U])], 0)


def _new_state(gates: Any, c: Any) -> tuple[Any, Any]:
    i, f, g, o = tf.split(gates, 4, axis=1)  # each (B, U)
    c = f * c + i * g
    return o * tf.tanh(c), c


def _forward(sequences: bool, keep: bool) -> Compiled:
    def forward(x: Any, h0: Any, c0: Any, W: Any, R: Any, b: Any) -> tuple[Any, ...]:
        (B, T, F), U = tf.unstack(tf.shape(x)), tf.shape(R)[0]
        double = _twice_for_tanh(U)
        weights = tf.concat([W, R], 0) * double  # (F+U, 4U)
        bias = b * double

        def gates_of(t: Any, h: Any) -> tuple[Any, Any]:
            seen = tf.concat([x[:, t], h], 1)  # (B, F+U)
            return seen, tf.sigmoid(tf.matmul(seen, weights) + bias) * double - (double - 1)  # (B, 4U)

        seen, gates = gates_of(0, h0)
        kept: tuple[Any, ...] = ()
        if keep:
            kept = _put(_new(T, B, F + U), 0, seen), _put(_new(T, B, 4 * U), 0, gates), _put(_new(T + 1, B, U), 0, c0)
        elif sequences:
            kept = (_new(T, B, U),)

        def step(t: Any, gates: Any, c: Any, *kept: Any) -> tuple[Any, ...]:
            h, c = _new_state(gates, c)
            seen, gates = gates_of(t, h)
            if keep:
                kept = _put(kept[0], t, seen), _put(kept[1], t, gates), _put(kept[2], t, c)
            elif sequences:
                kept = (_put(kept[0], t - 1, h),)
            return t + 1, gates, c, *kept

        _, gates, c, *after = tf.while_loop(
            lambda t, *rest: t < T, step, (1, gates, c0, *kept), maximum_iterations=T - 1
        )
        h, c = _new_state(gates, c)
        outputs = h[:, None]  # (B, 1, U)
        if keep:
            all_seen = _stack(after[0], B, F + U)  # (T, B, F+U)
            all_gates = _stack(after[1], B, 4 * U)  # (T, B, 4U)
            cells = _stack(_put(after[2], T, c), B, U)  # (T+1, B, U)
            if sequences:
                outputs = tf.transpose(tf.concat([all_seen[1:, :, F:], h[None]], 0), [1, 0, 2])  # (B, T, U)
            return outputs, h, c, all_seen, all_gates, cells
        if sequences:
            outputs = tf.transpose(_stack(_put(after[0], T - 1, h), B, U), [1, 0, 2])  # (B, T, U)
        return outputs, h, c

    return _compiled(forward)


def _backward(sequences: bool) -> Compiled:
    def backward(seen: Any, gates: Any, cells: Any, R: Any, d_outputs: Any, dh: Any, dc: Any) -> tuple[Any, ...]:
        T, B, _ = tf.unstack(tf.shape(seen))
        U = tf.shape(R)[0]
        F = tf.shape(seen)[2] - U
        back = tf.transpose(R)  # (4U, U)

        def step(t: Any, dh: Any, dc: Any, kept: Any) -> tuple[Any, ...]:
            if sequences:
                dh = dh + d_outputs[:, t]
            i, f, g, o = tf.split(gates[t], 4, axis=1)  # each (B, U)
            out = tf.tanh(cells[t + 1])
            dc = dc + dh * o * (1 - out * out)
            di, df, dg, do = dc * g, dc * cells[t], dc * i, dh * out
            dz = tf.concat([di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)], 1)  # (B, 4U)
            return t - 1, tf.matmul(dz, back), dc * f, _put(kept, t, dz)

        _, dh, dc, kept = tf.while_loop(
            lambda t, *rest: t >= 0, step, (T - 1, dh, dc, _new(T, B, 4 * U)), maximum_iterations=T
        )
        dz = _stack(kept, B, 4 * U)  # (T, B, 4U)
        flat = tf.reshape(dz, [T * B, 4 * U])
        weights = tf.matmul(tf.reshape(seen, [T * B, F + U]), flat, transpose_a=True)  # (F+U, 4U)
        return dz, dh, dc, weights[:F], weights[F:], tf.reduce_sum(flat, 0)

    return _compiled(backward)


# outputs (B, T, U) or (B, 1, U), h (B, U), c (B, U)
FORWARD = {sequences: _forward(sequences, False) for sequences in (False, True)}
# The same, and for `BACKWARD`: [x, h] (T, B, F+U), gates (T, B, 4U), cells (T+1, B, U).
FORWARD_KEEPING = {sequences: _forward(sequences, True) for sequences in (False, True)}
# dz (T, B, 4U), dh0 (B, U), dc0 (B, U), dW (F, 4U), dR (U, 4U), db (4U,)
BACKWARD = {sequences: _backward(sequences) for sequences in (False, True)}


@_compiled
def input_gradient(dz: Any, W: Any) -> Any:
    """Returns dx `(B, T, F)` of dz `(T, B, 4U)`: a function of its own, since nobody needs it for the data."""
    T, B, wide = tf.unstack(tf.shape(dz))
    dx = tf.matmul(tf.reshape(dz, [T * B, wide]), W, transpose_b=True)  # (T*B, F)
    return tf.transpose(tf.reshape(dx, [T, B, tf.shape(W)[0]]), [1, 0, 2])
