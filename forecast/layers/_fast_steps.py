"""The loops of an LSTM over time, compiled by XLA: forward, backward, and what is left for large products.

    forward    [x(t), h(t-1)] (B, F+U) . [W; R] (F+U, 4U) -> gates (B, 4U) -> c, h (B, U)        t = 0, 1, ..., T-1
    backward   dh, dc (B, U) -> dz (B, 4U) . R' (4U, U) -> dh, dc of the step before             t = T-1, ..., 1, 0
    after it   [x, h] (T*B, F+U)' . dz (T*B, 4U) -> dW, dR;   dz . W' -> dx                      all steps at once

One step costs so little that starting an operation costs as much, hence four rules. A tanh is `2 sigmoid(2x) - 1`, so
all four gates are one sigmoid of (B, 4U), with columns of weights that are twice as large. A step ends with its gates,
and the next one begins with `c` and `h`: XLA would compute gates again for each of several uses in one step. A step
reads what the last one has kept, rather than carry it beside: a body of few operations runs on one thread, and one of
more is spread over the threads that the other slices need. The gradients of weights are not summed step by step.

Axes: `B` windows, `T` time steps, `F` features, `U` units. Gates are in Keras's order i, f, c, o. XLA compiles each
function once for every shape that it meets; traced is each once in a process.

This module knows nothing of layers, and nothing of how a batch is cut into slices.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Compiled = Callable[..., Any]


def _compiled(function: Callable[..., Any], *ranks: int) -> Compiled:
    """Returns a function of tensors with some ranks; it is traced once for all shapes."""
    signature = [tf.TensorSpec([None] * rank, tf.float32) for rank in ranks]
    traced: Compiled = tf.function(function, input_signature=signature, jit_compile=True, autograph=False)
    return traced


def _new(length: Any, *shape: Any) -> Any:
    """Returns a list of tensors whose shape XLA knows and tracing does not, which a TensorArray cannot be told."""
    return tf.raw_ops.TensorListReserve(
        element_shape=tf.stack(shape), num_elements=length, element_dtype=tf.float32, name="kept"
    )


def _put(values: Any, t: Any, value: Any) -> Any:
    return tf.raw_ops.TensorListSetItem(input_handle=values, index=t, item=value)


def _get(values: Any, t: Any, *shape: Any) -> Any:
    return tf.raw_ops.TensorListGetItem(
        input_handle=values, index=t, element_shape=tf.stack(shape), element_dtype=tf.float32
    )


def _stack(values: Any, *shape: Any) -> Any:
    return tf.raw_ops.TensorListStack(input_handle=values, element_shape=tf.stack(shape), element_dtype=tf.float32)


def _twice_for_tanh(U: Any) -> Any:
    """Returns `(4U,)`: 2 in the columns of the cell's candidate, 1 elsewhere."""
    return tf.concat([tf.ones([2 * U]), 2 * tf.ones([U]), tf.ones([U])], 0)


def _gates(x: Any, W: Any, R: Any, b: Any) -> tuple[Any, Callable[[Any, Any], tuple[Any, Any]]]:
    """Returns F+U, and a function `(t, h)` that returns what step t sees `(B, F+U)`, and its gates `(B, 4U)`."""
    double = _twice_for_tanh(tf.shape(R)[0])
    weights = tf.concat([W, R], 0) * double  # (F+U, 4U)
    bias = b * double

    def gates_of(t: Any, h: Any) -> tuple[Any, Any]:
        seen = tf.concat([x[:, t], h], 1)
        return seen, tf.sigmoid(tf.matmul(seen, weights) + bias) * double - (double - 1)

    return tf.shape(weights)[0], gates_of


def _new_state(gates: Any, c: Any) -> tuple[Any, Any]:
    i, f, g, o = tf.split(gates, 4, axis=1)  # each (B, U)
    c = f * c + i * g
    return o * tf.tanh(c), c


def _forward(sequences: bool) -> Compiled:
    def forward(x: Any, h0: Any, c0: Any, W: Any, R: Any, b: Any) -> tuple[Any, Any, Any]:
        T = tf.shape(x)[1]
        B, U = tf.unstack(tf.shape(h0))
        _, gates_of = _gates(x, W, R, b)

        def step(t: Any, gates: Any, c: Any, *kept: Any) -> tuple[Any, ...]:
            h, c = _new_state(gates, c)
            return t + 1, gates_of(t, h)[1], c, *[_put(one, t - 1, h) for one in kept]

        first = (1, gates_of(0, h0)[1], c0, *([_new(T, B, U)] if sequences else []))
        _, gates, c, *kept = tf.while_loop(lambda t, *rest: t < T, step, first, maximum_iterations=T - 1)
        h, c = _new_state(gates, c)
        if sequences:
            return tf.transpose(_stack(_put(kept[0], T - 1, h), B, U), [1, 0, 2]), h, c
        return h[:, None], h, c

    return _compiled(forward, 3, 2, 2, 2, 2, 1)


def _forward_keeping(sequences: bool) -> Compiled:
    def forward(x: Any, h0: Any, c0: Any, W: Any, R: Any, b: Any) -> tuple[Any, ...]:
        T = tf.shape(x)[1]
        B, U = tf.unstack(tf.shape(h0))
        wide, gates_of = _gates(x, W, R, b)
        seen, gates = gates_of(0, h0)
        first = (
            1,
            c0,
            _put(_new(T, B, wide), 0, seen),
            _put(_new(T, B, 4 * U), 0, gates),
            _put(_new(T + 1, B, U), 0, c0),
        )

        def step(t: Any, c: Any, all_seen: Any, all_gates: Any, cells: Any) -> tuple[Any, ...]:
            h, c = _new_state(_get(all_gates, t - 1, B, 4 * U), c)  # one use of the gates: what is kept of them
            seen, gates = gates_of(t, h)
            return t + 1, c, _put(all_seen, t, seen), _put(all_gates, t, gates), _put(cells, t, c)

        _, c, *kept = tf.while_loop(lambda t, *rest: t < T, step, first, maximum_iterations=T - 1)
        h, c = _new_state(_get(kept[1], T - 1, B, 4 * U), c)
        all_seen = _stack(kept[0], B, wide)  # (T, B, F+U)
        all_gates = _stack(kept[1], B, 4 * U)  # (T, B, 4U)
        cells = _stack(_put(kept[2], T, c), B, U)  # (T+1, B, U)
        outputs = h[:, None]  # (B, 1, U)
        if sequences:  # the hidden states that later steps have seen
            outputs = tf.concat([tf.transpose(all_seen[1:, :, wide - U :], [1, 0, 2]), outputs], 1)  # (B, T, U)
        return outputs, h, c, all_seen, all_gates, cells

    return _compiled(forward, 3, 2, 2, 2, 2, 1)


def _backward(sequences: bool) -> Compiled:
    def backward(seen: Any, gates: Any, cells: Any, R: Any, d_outputs: Any, dh: Any, dc: Any) -> tuple[Any, ...]:
        T, B, wide = tf.unstack(tf.shape(seen))
        U = tf.shape(R)[0]
        back = tf.transpose(R)  # (4U, U)
        tanh = _twice_for_tanh(U) - 1  # 1 in the columns of g, whose slope is (1 - g) (1 + g), and of others (1 - i) i

        def slopes(t: Any, dh: Any, dc: Any) -> tuple[Any, Any]:
            if sequences:
                dh = dh + d_outputs[:, t]
            i, f, g, o = tf.split(gates[t], 4, axis=1)  # each (B, U)
            out = tf.tanh(cells[t + 1])
            dc = dc + dh * o * (1 - out * out)
            d_gates = tf.concat([dc * g, dc * cells[t], dc * i, dh * out], 1)  # (B, 4U)
            return d_gates * (1 - gates[t]) * (gates[t] + tanh), dc * f

        def step(t: Any, dc: Any, kept: Any) -> tuple[Any, Any, Any]:
            dz, dc = slopes(t, tf.matmul(_get(kept, t + 1, B, 4 * U), back), dc)
            return t - 1, dc, _put(kept, t, dz)

        dz, dc = slopes(T - 1, dh, dc)
        first = T - 2, dc, _put(_new(T, B, 4 * U), T - 1, dz)
        _, dc, kept = tf.while_loop(lambda t, *rest: t >= 0, step, first, maximum_iterations=T - 1)
        dh = tf.matmul(_get(kept, 0, B, 4 * U), back)
        dz = _stack(kept, B, 4 * U)  # (T, B, 4U)
        flat = tf.reshape(dz, [T * B, 4 * U])
        weights = tf.matmul(tf.reshape(seen, [T * B, wide]), flat, transpose_a=True)  # (F+U, 4U)
        return dz, dh, dc, weights[: wide - U], weights[wide - U :], tf.reduce_sum(flat, 0)

    return _compiled(backward, 3, 3, 3, 2, 3, 2, 2)


def _input_gradient(dz: Any, W: Any) -> Any:
    T, B, wide = tf.unstack(tf.shape(dz))
    dx = tf.matmul(tf.reshape(dz, [T * B, wide]), W, transpose_b=True)  # (T*B, F)
    return tf.transpose(tf.reshape(dx, [T, B, tf.shape(W)[0]]), [1, 0, 2])


# outputs (B, T, U) or (B, 1, U), h (B, U), c (B, U)
FORWARD = {sequences: _forward(sequences) for sequences in (False, True)}
# The same, and for `BACKWARD`: [x, h] (T, B, F+U), gates (T, B, 4U), cells (T+1, B, U).
FORWARD_KEEPING = {sequences: _forward_keeping(sequences) for sequences in (False, True)}
# dz (T, B, 4U), dh0 (B, U), dc0 (B, U), dW (F, 4U), dR (U, 4U), db (4U,)
BACKWARD = {sequences: _backward(sequences) for sequences in (False, True)}
# dx (B, T, F) of dz (T, B, 4U) and W (F, 4U): a function of its own, since nobody needs it for the data
INPUT_GRADIENT = _compiled(_input_gradient, 3, 2)
