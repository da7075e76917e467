"""The networks. ONE FILE = ONE MODEL: its core; the shell around it (`_shell.py`) is shared by all.

                        +--------------- shell ----------------+
    past (N, L, F) -----| normalise - [ core ] - denormalise   |---- (N, H, K)
    known, static, series, where the core takes them           |
                        +--------------------------------------+

The template for another model, `forecast/models/mine.py`:

    \"\"\"One line: what it is.

        (L, F) - LSTM - Dense - Reshape - (H, K)             a drawing of the graph

    What it is not. Source: paper.
    \"\"\"

    class Options(RecurrentOptions):                          # its options, with their defaults and bounds
        heads: int = Field(default=4, ge=1)

    INPUTS = ("past",)                                        # also "known", "static", "series", where it takes them

    def build(shapes: Shapes, options: Options) -> keras.Model:
        ...                                                   # Sequential where a chain suffices, functional elsewhere

The core is plain Keras and takes inputs of these names: `past (N, L, F)`, `known (N, L + H, Fk)`, `static (N, Fs)`
and `series (N,)`; it answers `(N, H, K)`, or `(N, H, K, Q)` where quantiles are asked for: `_head.py` makes inputs and
heads. A contract test runs over every file here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.errors import ConfigError
from pipelines.registry import Registry

if TYPE_CHECKING:
    import keras

registry = Registry(__name__, "model")


@dataclass(frozen=True)
class Shapes:
    """The sizes that a network is built for; the letters are those of every docstring.

    Attributes:
        lookback: `L`.
        horizon: `H`.
        features: `F`, inputs in `past`.
        targets: `K`, the first of the inputs.
        known: `Fk`, inputs in `known`.
        static: `Fs`, inputs in `static`.
        series: `S`, series in training; the number `S` itself stands for a series that was not there.
        gap: Rows skipped between past and future.
        season: Rows of a season.
        quantiles: Which are asked for, ascending, 0.5 among them; none for one value a step.
    """

    lookback: int
    horizon: int
    features: int = 1
    targets: int = 1
    known: int = 0
    static: int = 0
    series: int = 1
    gap: int = 0
    season: int = 1
    quantiles: tuple[float, ...] = ()


def build_core(name: str, shapes: Shapes, options: dict[str, Any]) -> keras.Model:
    """Returns the core of a model by name.

    Raises:
        UnknownName: No file has this name.
        ConfigError: An option is unknown or wrong, or the data hold covariates that this model cannot take.
    """
    module = registry.load(name)
    if shapes.static and "static" not in module.INPUTS:
        raise ConfigError(
            f"Model {name!r} takes no static covariates. Received: {shapes.static}. Leave them out, or choose a model "
            "with 'static' among its inputs: `forecast models` shows them."
        )
    core: keras.Model = module.build(shapes, module.Options(**options))
    return core
