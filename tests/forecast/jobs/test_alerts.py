"""Alerts: forecasts that cross a threshold which the last known value does not."""

import json

import numpy as np
import pandas as pd
import pytest

from forecast.jobs import run, validate
from pipelines.errors import ConfigError, UnknownName

LAST = "2024-03-03T23:00"


def by_hand(table, above, pattern=""):
    """Returns the first row of each series whose forecast lies above a threshold, the last value not."""
    table = table[table["unique_id"].str.startswith(pattern)]
    crossing = table[(table["y_pred"] > above) & (table["naive"] <= above)]
    return crossing.sort_values("step").groupby("unique_id").first()


def test_the_first_step_beyond_a_threshold_is_in_the_table(published):
    _, table, _ = published()
    levels = table.loc[table["y_pred"] > table["naive"], "naive"] + 1e-9  # of a series whose forecast rises
    above = float(levels.iloc[0])
    outcome, table, _ = published(alerts=[{"name": "limit", "above": above}])
    found = pd.read_parquet(outcome.folder / "alerts.parquet")
    expected = by_hand(table, above)
    assert len(expected) > 0
    assert found["unique_id"].tolist() == expected.index.tolist()
    np.testing.assert_array_equal(found["value"], expected["y_pred"])
    np.testing.assert_array_equal(found["step"], expected["step"])
    assert set(found["threshold"]) == {above}
    assert outcome.about["alerts"]["by_name"] == {"limit": len(expected)}
    assert outcome.about["alerts"]["first"][0]["unique_id"] == expected.index[0]


def test_a_change_is_a_share_of_the_last_value_and_names_may_be_patterns(published):
    alerts = [
        {"name": "up", "above": 1e-9, "change": True, "series": ["s0*"]},
        {"name": "down", "below": -1e-9, "change": True, "column": "y_pred_lo_80"},
    ]
    outcome, table, _ = published(alerts=alerts)
    found = pd.read_parquet(outcome.folder / "alerts.parquet")
    up = table[(table["y_pred"] / table["naive"] - 1 > 1e-9) & table["unique_id"].str.startswith("s0")]
    down = table[table["y_pred_lo_80"] / table["naive"] - 1 < -1e-9]
    assert set(found.loc[found["alert"] == "up", "unique_id"]) == set(up["unique_id"]) != set()
    assert set(found.loc[found["alert"] == "down", "unique_id"]) == set(down["unique_id"]) != set()
    assert set(found.loc[found["alert"] == "down", "side"]) == {"below"}


def test_nothing_is_raised_where_the_last_value_is_beyond_it_already(published):
    outcome, _, _ = published(alerts=[{"name": "positive", "above": 0.0}])
    assert len(pd.read_parquet(outcome.folder / "alerts.parquet")) == 0
    assert outcome.about["alerts"] == {"raised": 0, "by_name": {"positive": 0}, "first": []}


def test_alerts_are_in_the_metrics_and_a_job_without_them_has_no_table(published, job, tmp_path):
    outcome, _, _ = published(alerts=[{"name": 'a "quoted" name', "above": 0.0}])
    assert (
        'forecast_job_alerts{job="nightly",alert="a \\"quoted\\" name"} 0'
        in (tmp_path / "out" / "metrics.prom").read_text()
    )
    outcome, _, _ = published()
    assert not (outcome.folder / "alerts.parquet").exists()
    assert json.loads((outcome.folder / "run.json").read_text())["alerts"] is None


@pytest.mark.parametrize(
    ("alert", "error", "message"),
    [
        ({"name": "x"}, ConfigError, "`above` or `below` must be given"),
        (
            {"name": "x", "above": 1, "column": "y_pred_lo_81"},
            UnknownName,
            "'y_pred_lo_81'. Did you mean 'y_pred_lo_80'",
        ),
        ({"name": "x", "above": 1, "target": "Close"}, UnknownName, "No target is called 'Close'"),
        ({"name": "x", "abov": 1}, ConfigError, "Did you mean 'above'"),
    ],
)
def test_an_alert_on_nothing_is_refused_before_the_run(job, alert, error, message):
    path = job(alerts=[alert])
    for check in (lambda: validate(path, LAST), lambda: run(path, LAST)):
        with pytest.raises(error, match=message):
            check()
