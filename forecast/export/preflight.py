"""Looks at a Keras model before it is converted: names the layer that cannot be, and the way out."""

from collections.abc import Iterator

import keras

from pipelines.errors import ExportError


def check(model: keras.Model) -> None:
    """Raises ExportError where no layout can take a model."""
    if not isinstance(model, keras.Model) or not (
        isinstance(model, keras.Sequential) or type(model).__name__ == "Functional" or hasattr(model, "_functional")
    ):
        _refuse(
            "A Sequential or functional keras.Model can be exported",
            f"{type(model).__name__}",
            "Write it with keras.Input and layers",
        )
    if not model.built or not getattr(model, "inputs", None):
        _refuse("The model must be built", f"{model.name!r} without an input shape", "Begin it with keras.Input")
    if len(model.outputs) != 1:
        _refuse(
            "A file has one output",
            f"{len(model.outputs)}",
            "Export each by itself: keras.Model(model.inputs, model.outputs[0])",
        )
    for tensor in model.inputs:
        if any(size is None for size in tensor.shape[1:]):
            _refuse(
                "Every input must have a known length",
                f"{tensor.name!r} of shape {tuple(tensor.shape)}",
                "Build the model again with keras.Input((lookback, features)) and set its weights",
            )
    for layer, inside in _layers(model):
        where = f"layer {layer.name!r} ({type(layer).__name__})"
        if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False):
            _refuse(
                "A device has no masks",
                where,
                "Leave it out, and fill missing values before the model",
            )
        if isinstance(layer, keras.layers.RNN):
            if layer.stateful:
                _refuse(
                    "A file keeps its own state",
                    f"{where} with stateful=True",
                    'Build it with stateful=False, set its weights, and choose state="streaming"',
                )
            if inside:
                _refuse(
                    "A recurrent layer must see one sequence",
                    f"{where} inside TimeDistributed {inside!r}",
                    "Apply it to each sequence by itself, or flatten the outer steps",
                )


def _layers(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, str]]:
    """Yields every layer, with the name of the TimeDistributed that holds it."""
    outer = {}
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.TimeDistributed):
            for one in layer._flatten_layers(include_self=False):
                outer[id(one)] = layer.name
    for layer in model._flatten_layers(include_self=False):
        yield layer, outer.get(id(layer), "")


def _refuse(must: str, received: str, advice: str) -> None:
    raise ExportError(f"{must}. Received: {received}. {advice}.")
