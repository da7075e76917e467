"""What a user may ask of an export; the same names in code, on the command line and in the report."""

from typing import Literal

from pydantic import Field

from pipelines.spec import Spec


class ExportSpec(Spec):
    """How a network becomes a file.

    Attributes:
        quantize: "int8" (integers inside), "float32", "float16", "dynamic" (int8 weights, float activations) or
            "int16" (16-bit activations, 8-bit weights; no fused layout).
        layout: "fused", "unrolled", "step", or "auto": converts those that apply, measures, and says why it chose.
        device: What "auto" chooses for: "mcu" (micro-controller: the smallest) or "pi" (Raspberry Pi and other
            application processors: the fastest).
        io: "float32": original units go in and come out. "int8": the integer core alone, the host scales. None means
            "float32" where the layout can hold the scaling, and the host's where it cannot (step).
        state: "windowed" (a call takes the whole window, from zero state) or "streaming" (one row a call).
        series: Whose scaling goes into the file, where series have scalings of their own.
        max_degradation: Largest loss of accuracy: MAE of the file over Keras's, minus 1.
        max_core_error: Largest error of the core's own answers: RMSE over their standard deviation.
        windows: Held-out windows to compare on.
        seed: Chooses calibration windows: training windows, which the converter looks at to choose its integers.
    """

    quantize: Literal["int8", "float32", "float16", "dynamic", "int16"] = "int8"
    layout: Literal["auto", "fused", "unrolled", "step"] = "auto"
    device: Literal["mcu", "pi"] = "mcu"
    io: Literal["float32", "int8"] | None = None
    state: Literal["windowed", "streaming"] = "windowed"
    series: str | None = None
    max_degradation: float = Field(default=0.02, ge=0)
    max_core_error: float = Field(default=0.1, ge=0)
    windows: int = Field(default=256, ge=1)
    seed: int = 0
