"""Backtests that fit again: each forecast comes from a model that knew what was known at its cutoff, and no more."""

import keras
import numpy as np
import pandas as pd
import pytest

from forecast import Forecaster
from forecast.fitting import fit
from pipelines.errors import ConfigError, DataError, SeriesTooShort
from pipelines.panel import Panel
from pipelines.splits import PARTS, before, split
from pipelines.windows import WindowSpec, index_windows

TINY = {"model": {"name": "lstm", "units": 4}, "training": {"epochs": 2, "batch_size": 16}, "lookback": 6, "horizon": 2}


def walk(rows=200, seed=0, **columns):
    days = pd.date_range("2022-01-01", periods=rows)
    y = 50 + np.cumsum(np.random.default_rng(seed).normal(size=rows))
    return pd.DataFrame({"y": y, **columns}, index=days)


@pytest.fixture(scope="module")
def model():
    return Forecaster(**TINY).fit(walk(), quiet=True)


# --- folds ------------------------------------------------------------------------------------------------------------


def lengths(fold):
    return [np.diff(row).tolist()[:3] for row in fold.bounds]


def test_parts_end_at_the_cut_and_validation_and_calibration_keep_their_lengths():
    panel = Panel.from_frame(walk(100))
    splits = split(panel)
    assert lengths(splits) == [[60, 10, 10]]
    assert before(panel, splits, np.array([90])).bounds.tolist() == [[0, 70, 80, 90, 100]]
    assert before(panel, splits, np.array([90]), rolling=True).bounds.tolist() == [[10, 70, 80, 90, 100]]
    assert before(panel, splits, np.array([80])).bounds.tolist() == splits.bounds.tolist()


def test_series_that_share_dates_are_cut_at_the_same_dates_also_where_one_starts_later():
    long, short = walk(100), walk(100).iloc[50:]
    frame = pd.concat([long.assign(unique_id="a"), short.assign(unique_id="b")]).rename_axis("ds").reset_index()
    panel = Panel.from_frame(frame)
    splits = split(panel)
    fold = before(panel, splits, np.array([95, 145]))
    for p in range(1, 4):
        assert panel.ds[fold.bounds[0, p]] == panel.ds[fold.bounds[1, p]], PARTS[p]
    assert fold.bounds[:, 0].tolist() == panel.offsets[:-1].tolist()


def test_series_with_tails_of_their_own_are_cut_each_at_its_own_row():
    frame = pd.concat(
        [pd.DataFrame({"unique_id": name, "ds": range(n), "y": 1.0}) for name, n in (("a", 100), ("b", 50))]
    )
    panel = Panel.from_frame(frame)
    fold = before(panel, split(panel), np.array([90, 145]), rolling=True)
    assert lengths(fold) == [[60, 10, 10], [30, 5, 5]]
    assert fold.bounds[:, 3].tolist() == [90, 145]


def test_cutoffs_are_counted_by_stamp_where_series_share_them_and_else_in_their_own_rows():
    offsets, spec = np.array([0, 10, 16]), WindowSpec(lookback=2, horizon=1, stride=2)
    index = index_windows(offsets, spec, (offsets[:-1], offsets[1:]))
    assert index.order().tolist() == [0, 1, 2, 3, 0, 1]
    ds = np.concatenate([np.arange(10), np.arange(4, 10)])
    assert index.order(ds).tolist() == [0, 1, 2, 3, 2, 3]
    assert index[:4].order(ds).tolist() == [0, 1, 2, 3]


# --- forecasts --------------------------------------------------------------------------------------------------------


def test_each_fold_forecasts_as_a_forecaster_that_was_fitted_on_what_was_known_then(model):
    rows = model.backtest(refit=20).frame()
    cutoffs = rows["cutoff"].unique()
    assert len(cutoffs) == 39
    for first, last in ((0, 20), (20, 39)):
        now = cutoffs[first]
        known = walk().loc[:now]
        # the same parts, by date: 20 days of validation, 20 of calibration, and a test part of one horizon
        sizes = {"validation": str(now - pd.Timedelta(days=39)), "calibration": str(now - pd.Timedelta(days=19))}
        ahead = pd.DataFrame({"y": [np.nan] * 2}, index=pd.date_range(now, periods=3)[1:])
        fresh = Forecaster(**TINY, split={**sizes, "test": str(now + pd.Timedelta(days=1))})
        fresh.fit(pd.concat([known, ahead]), quiet=True)
        expected = fresh.predict(data=known)["y_pred"]
        found = rows[rows["cutoff"] == now]["y_pred"]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        later = rows[rows["cutoff"] == cutoffs[last - 1]]["y_pred"]
        np.testing.assert_allclose(later, fresh.predict(data=walk().loc[: cutoffs[last - 1]])["y_pred"], rtol=1e-6)


def test_no_forecast_moves_when_everything_after_its_cutoff_is_changed(model):
    plain = model.backtest(refit=13).frame()
    at = plain["cutoff"].unique()[13]  # the first cutoff of the second fold
    changed = walk()
    changed.loc[at + pd.Timedelta(days=1) :, "y"] = 1e4 - 7 * changed.loc[at + pd.Timedelta(days=1) :, "y"]
    other = Forecaster(**TINY).fit(walk(), quiet=True).backtest(changed, refit=13).frame()
    before_it = plain["cutoff"] <= at
    columns = [c for c in plain if c.startswith("y_pred")]
    assert before_it.sum() == 2 * 14
    pd.testing.assert_frame_equal(plain.loc[before_it, columns], other.loc[before_it, columns], check_exact=True)
    assert not np.allclose(plain.loc[~before_it, "y_pred"], other.loc[~before_it, "y_pred"])


def test_always_fits_for_each_cutoff_and_it_says_how_often(model):
    result = model.backtest(cutoffs=3, refit="always")
    assert result.how == "3 fits, expanding window"
    assert str(result.scores).startswith("test scores of y; 3 fits, expanding window\n")
    assert model.backtest(cutoffs=3, refit=2, window="rolling", warm_start=True).how == (
        "2 fits, rolling window, warm start"
    )


def test_the_first_fold_is_fresh_and_later_ones_start_from_the_weights_before_where_that_is_asked(monkeypatch):
    wave = walk().assign(y=np.sin(np.arange(200) / 3))
    model = Forecaster(**TINY).fit(wave, quiet=True)
    started = []

    def noted(*arguments, start=None, **options):
        fitted = fit(*arguments, start=start, **options)
        started.append((start, fitted.network.get_weights(), fitted.run.history["val_loss"][0]))
        return fitted

    monkeypatch.setattr("forecast.refitting.fit", noted)
    cold, warm = (model.backtest(refit=20, warm_start=warm).y_pred["lstm"] for warm in (False, True))
    np.testing.assert_array_equal(cold[:20], warm[:20])
    fresh_first, fresh_second, warm_first, warm_second = started
    assert fresh_first[0] is fresh_second[0] is warm_first[0] is None
    assert all(np.array_equal(a, b) for a, b in zip(warm_second[0], warm_first[1], strict=True))
    assert warm_second[2] != fresh_second[2]  # epoch 0: the loss of the weights it started from


def test_the_forecaster_itself_stays_as_it_is(model):
    weights = [array.copy() for array in model.network_.get_weights()]
    forecast = model.predict()
    model.backtest(cutoffs=4, refit=2)
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.network_.get_weights(), strict=True))
    pd.testing.assert_frame_equal(forecast, model.predict())


def test_a_rolling_window_forgets_the_first_rows(model):
    changed = walk()
    changed.iloc[:20] += 40.0
    plain, other = (model.backtest(data, refit=19, window="rolling").frame() for data in (walk(), changed))
    late = plain["cutoff"] >= plain["cutoff"].unique()[38]  # of the third fold, 38 rows later
    pd.testing.assert_series_equal(plain.loc[late, "y_pred"], other.loc[late, "y_pred"], check_exact=True)
    first = plain["cutoff"] == plain["cutoff"].unique()[0]
    assert not np.allclose(plain.loc[first, "y_pred"], other.loc[first, "y_pred"])


def test_intervals_are_learned_anew_in_each_fold(model):
    result = model.backtest(refit=20, levels=80)
    low, high = result.bands.ends[80.0]
    assert np.isfinite(low).all()
    assert (low < high).all()
    assert result.coverage(None)["values"].item() == 2 * 39
    with pytest.raises(ConfigError, match=r"a backtest of 2 fits, expanding window, which learned its intervals anew"):
        result.adaptive()


def test_many_series_with_and_without_dates_are_refitted_together():
    frames = [walk(120, seed).assign(unique_id=f"s{seed}").rename_axis("ds").reset_index() for seed in range(3)]
    dated = pd.concat(frames, ignore_index=True)
    counted = pd.concat([frame.assign(ds=range(len(frame))).iloc[: 120 - 20 * i] for i, frame in enumerate(frames)])
    for frame in (dated, counted):
        model = Forecaster(**TINY).fit(frame, quiet=True)
        result = model.backtest(refit=10)
        assert np.isfinite(result.y_pred["lstm"]).all()
        same = model.backtest()
        np.testing.assert_array_equal(result.y_true, same.y_true)
        np.testing.assert_array_equal(result.y_pred["naive"], same.y_pred["naive"])


def test_what_training_rows_say_is_said_of_each_folds_own():
    rising = pd.DataFrame({"y": np.arange(200.0)}, index=pd.date_range("2022-01-01", periods=200))
    model = Forecaster(**TINY).fit(rising, quiet=True)
    for window, lows in (("expanding", [0, 0]), ("rolling", [0, 20])):
        training = model.backtest(refit=20, window=window).training
        assert training["high"][[0, 20], 0].tolist() == [119, 139]  # 40 rows of validation and calibration later: cut
        assert training["low"][[0, 20], 0].tolist() == lows
    assert model.backtest().training["high"][[0, 20], 0].tolist() == [119, 119]


def test_with_a_gap_a_fold_knows_no_row_of_it():
    model = Forecaster(**TINY, gap=3).fit(walk(), quiet=True)
    plain = model.backtest(refit="always", cutoffs=1).frame()
    changed = walk()
    changed.loc[changed.index > plain["cutoff"].iloc[0], "y"] = 0.0
    other = Forecaster(**TINY, gap=3).fit(walk(), quiet=True).backtest(changed, refit="always", cutoffs=1).frame()
    np.testing.assert_array_equal(plain["y_pred"], other["y_pred"])


def test_a_model_of_ones_own_starts_fresh_in_each_fold_and_a_bundle_of_it_cannot_be_refitted(tmp_path):
    own = keras.Sequential([keras.layers.GRU(3), keras.layers.Dense(2)])
    model = Forecaster(own, lookback=6, horizon=2, training={"epochs": 1}).fit(walk(), quiet=True)
    assert np.isfinite(model.backtest(cutoffs=4, refit=2).y_pred["own"]).all()
    model.save("own", tmp_path)
    with pytest.raises(ConfigError, match=r"made of\. Received: a bundle.* or choose refit='never'"):
        Forecaster.load("own", tmp_path).backtest(walk(), refit=2)


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refit": 0}, r"`refit` must be 'never', 'always' or a number of cutoffs >= 1\. Received: 0"),
        ({"refit": "often"}, r"`refit` must be 'never', 'always' or a number of cutoffs >= 1\. Received: 'often'"),
        ({"refit": True}, r"`refit` must be 'never'.*Received: True"),
        ({"refit": 40}, r"`refit` must be at most the number of cutoffs, 39\. Received: 40\. Give fewer"),
        ({"refit": 5, "window": "sliding"}, r"`window` must be one of expanding, rolling\. Received: 'sliding'"),
        ({"refit": 5, "levels": 99.9}, r"Intervals of 99\.9 % need 1999 windows in the calibration part"),
    ],
)
def test_a_wrong_setting_is_named(model, options, message):
    with pytest.raises(ConfigError, match=message):
        model.backtest(**options)


def test_folds_that_begin_before_there_is_enough_to_train_on_say_what_is_missing(model):
    with pytest.raises(
        DataError, match=r"lie before the first cutoff's validation and calibration.*Start the backtest"
    ):
        model.backtest(part="train", refit=50)
    with pytest.raises(SeriesTooShort, match=r"One window needs 8 rows.*Received: 2 rows of training"):
        model.backtest(part="train", refit="always", cutoffs=77)  # its first cutoff is row 41
