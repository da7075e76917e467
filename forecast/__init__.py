"""Time-series forecasting with recurrent networks in Keras.

    prices = forecast.load("sample:goog")
    model = forecast.Forecaster(model="lstm", target="Close", lookback=60, horizon=5)
    model.fit(prices)
    model.evaluate()
    model.predict(steps=5)
    model.export("goog.tflite", quantize="int8")

Importing this package loads neither TensorFlow nor pandas: what is named here is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.errors import (
        BundleError,
        ConfigError,
        DataError,
        ExportError,
        ForecastError,
        Locked,
        NoData,
        NotFitted,
        RateLimited,
        SeriesTooShort,
        SourceError,
        Stopped,
        UnknownName,
    )
    from pipelines.panel import Panel
    from pipelines.sources import load

    from .config import ForecastConfig
    from .evaluation.audit import audit
    from .forecaster import Forecaster
    from .presets import preset

_WHERE = {
    "Forecaster": "forecast.forecaster",
    "ForecastConfig": "forecast.config",
    "Panel": "pipelines.panel",
    "audit": "forecast.evaluation.audit",
    "load": "pipelines.sources",
    "preset": "forecast.presets",
}
__all__ = [
    "BundleError",
    "ConfigError",
    "DataError",
    "ExportError",
    "ForecastConfig",
    "ForecastError",
    "Forecaster",
    "Locked",
    "NoData",
    "NotFitted",
    "Panel",
    "RateLimited",
    "SeriesTooShort",
    "SourceError",
    "Stopped",
    "UnknownName",
    "audit",
    "load",
    "preset",
]


def __getattr__(name: str) -> Any:
    if name in ("edge", "export", "report"):
        return importlib.import_module(f"forecast.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'forecast' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE.get(name, "pipelines.errors")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
