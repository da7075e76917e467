"""Forecasters that come from others: updated, fine-tuned, distilled. Each remembers from which, and how.

manifest.json    lineage: [{what: update, ..., from: {name, version, digest}}, ...], the oldest first
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fitting import Fitted
    from .forecaster import Forecaster


def successor(forecaster: Forecaster, fitted: Fitted, about: dict[str, Any]) -> Forecaster:
    """Returns a copy of a forecaster with another network, not saved yet; the given one stays as it is.

    Args:
        about: What was done, for the manifest.
    """
    other = copy.copy(forecaster)
    came = {key: forecaster.manifest_[key] for key in ("name", "version", "digest") if key in forecaster.manifest_}
    other._fitted, other._unfinished = fitted, None
    other.lineage_ = (*forecaster.lineage_, {**about, **({"from": came} if came else {})})
    other.path_, other.manifest_ = None, {}
    return other
