"""16 bits where a GPU is faster so: weights, normalisation and loss stay in 32.

Micikevicius et al. (2018), https://arxiv.org/abs/1710.03740: the loss is scaled up before gradients are taken and the
gradients down after, which Keras does by itself for this policy.
"""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from .progress import Progress

POLICY = "mixed_float16"
SINCE = (7, 0)  # compute capability: GPUs with tensor cores


def in_sixteen_bits(progress: Progress, own: bool = False) -> str:
    """Returns the policy to train in; "" where 16 bits would not be faster, and says why."""
    if own:
        progress.say("training.precision: a model of your own chooses its precision itself; it trains as it is.")
        return ""
    capabilities = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    if not capabilities or min(capabilities) < SINCE:
        there = f"a GPU of compute capability {min(capabilities)}" if capabilities else "no GPU"
        progress.say(f"training.precision: mixed needs a GPU with tensor cores, and there is {there}; 32 bits it is.")
        return ""
    return POLICY


@contextlib.contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Makes the layers that are built meanwhile compute in this policy of Keras."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
