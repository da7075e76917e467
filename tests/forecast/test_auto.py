"""Model "auto": within a time, by validation rows alone, never worse there than naive; and it says what it did."""

import time

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast import auto
from forecast.auto import board, candidates, choice, trials
from forecast.config import ForecastConfig
from forecast.judging import Judge
from pipelines.errors import ConfigError, DataError, NotFitted
from pipelines.panel import Panel
from pipelines.splits import SplitSpec, split
from pipelines.windows import WindowIndex, WindowSpec

SHORT = {"epochs": 3, "steps": 5, "patience": 3}  # of every candidate


def sine(rows=400, series=1, noise=0.1, seed=0, freq="h", m=24):
    """Series that repeat every `m` rows, at levels far apart."""
    random = np.random.default_rng(seed)
    t = np.arange(rows)
    parts = [
        pd.DataFrame(
            {
                "unique_id": f"s{s}",
                "ds": pd.date_range("2024-01-01", periods=rows, freq=freq),
                "y": (10 + s) * (3 + np.sin(2 * np.pi * (t + s) / m) + noise * random.normal(size=rows)),
            }
        )
        for s in range(series)
    ]
    return pd.concat(parts, ignore_index=True)


def walk(rows=300, seed=0):
    y = 100 + np.random.default_rng(seed).normal(size=rows).cumsum()
    return pd.DataFrame({"y": y}, index=pd.date_range("2020-01-01", periods=rows, freq="B"))


class Quiet:
    """Takes what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    def silenced(self):
        from forecast.training.progress import Progress

        return Progress(quiet=True)


def chosen_for(frame, budget="40s", **settings):
    config = ForecastConfig(model="auto", budget=budget, **{"training": SHORT, "target": "y", "horizon": 6, **settings})
    panel = Panel.from_frame(frame)
    progress = Quiet()
    found, leaders = auto.choose(panel, config, progress, asked=config.model_dump(exclude_unset=True))
    return found, leaders, progress


@pytest.fixture
def two(monkeypatch):
    """Only two candidates, which train in no time."""
    real = auto.candidates_for

    def some(*about):
        return [one for one in real(*about) if one.model.name in ("linear", "mlp")][:2]

    monkeypatch.setattr(auto, "candidates_for", some)


@pytest.fixture(scope="module")
def seasonal():
    """What auto chooses for a noisy sine, and the forecaster it became."""
    model = forecast.Forecaster("auto", budget="24s", target="y", horizon=6, training=SHORT)
    frame, began = sine(), time.monotonic()
    model.fit(frame, quiet=True)
    return model, frame, time.monotonic() - began


def test_a_seasonal_series_is_forecast_better_than_seasonal_naive_within_the_time(seasonal):
    model, _, seconds = seasonal
    leaders = model.leaderboard_
    assert leaders.members >= 1
    assert leaders.error < leaders.frame.set_index("model").loc[["naive", "seasonal_naive"], "error"].min()
    assert seconds < 60  # 24, and what intervals and a slow machine take
    scores = model.evaluate()
    assert scores[model.config.label]["mae"] < scores["seasonal_naive"]["mae"]


def test_the_settings_it_chose_are_plain_and_train_the_same_network_again(seasonal):
    model, frame, _ = seasonal
    config = model.config
    assert config.model.name != "auto"
    assert config.budget is None
    assert not config.training.early_stopping
    assert config.training.seconds is None
    again = forecast.Forecaster(config=config.model_dump()).fit(frame, quiet=True)
    for a, b in zip(model.network_.get_weights(), again.network_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.leaderboard_ is None


def test_the_leaderboard_is_saved_with_the_bundle(seasonal, tmp_path):
    model, _, _ = seasonal
    model.save("sine", folder=tmp_path)
    loaded = forecast.Forecaster.load("sine", folder=tmp_path)
    assert str(loaded.leaderboard_) == str(model.leaderboard_)
    assert loaded.leaderboard_.verdict.startswith("Chosen: ")


def test_the_leaderboard_has_every_candidate_and_both_bars_the_best_first(seasonal):
    model, _, _ = seasonal
    frame = model.leaderboard_.frame
    errors = frame["error"].dropna()
    assert (np.diff(errors) >= 0).all()
    assert {"naive", "seasonal_naive", "seasonal_lstm", "linear", "lstm", "mlp"} <= set(frame["model"])
    assert frame["chosen"].sum() == model.leaderboard_.members
    untried = frame[frame["error"].isna()]
    assert (untried["note"] != "").all()


def test_no_choice_looks_at_calibration_or_test_rows(two):
    """The same up to the end of validation, and anything after it: the same choice from the same candidates."""
    frame = sine(300)
    panel = Panel.from_frame(frame)
    end = int(split(panel).rows("validation")[1][0])
    poisoned = frame.copy()
    poisoned.loc[end:, "y"] = 1e9 * np.random.default_rng(1).normal(size=len(frame) - end)
    boards = []
    for rows in (frame, poisoned):
        _, leaders, _ = chosen_for(rows, "300s", lookback=24, normalize="mean_std", seed=5)
        boards.append(leaders.frame.drop(columns="seconds"))
    pd.testing.assert_frame_equal(*boards)


def test_a_random_walk_is_answered_with_naive_or_something_better_in_validation(two):
    found, leaders, _ = chosen_for(walk(), "60s")
    if leaders.members == 0:
        assert (found.model.name, found.model.options["season"]) == ("repeat", 1)
        assert leaders.verdict.startswith("Use naive: ")
    else:
        assert leaders.error < leaders.frame.set_index("model").loc["naive", "error"]


def test_use_naive_is_a_forecaster_like_any_other(monkeypatch, tmp_path, two):
    monkeypatch.setattr(choice, "_selected", lambda best, trials: ([], np.empty(0)))
    frame = sine(noise=1.0)
    model = forecast.Forecaster("auto", budget="12s", target="y", horizon=6, training=SHORT).fit(frame, quiet=True)
    assert model.leaderboard_.verdict.startswith("Use seasonal naive: ")
    assert (model.config.model.name, model.config.model.options) == ("repeat", {"season": 24})
    scores = model.evaluate()
    assert scores["repeat"]["mae"] == pytest.approx(scores["seasonal_naive"]["mae"], rel=1e-5)
    ahead = model.predict()
    np.testing.assert_allclose(ahead["y_pred"], frame["y"].iloc[-24:-18], rtol=1e-5)
    assert "y_pred_lo_80" in ahead  # intervals, as any other
    model.save("naive", folder=tmp_path)
    again = forecast.Forecaster.load("naive", folder=tmp_path)
    np.testing.assert_array_equal(again.predict(data=frame)["y_pred"], ahead["y_pred"])


def test_what_the_user_sets_is_kept(two):
    settings = {"lookback": 30, "normalize": "last", "scaling": "robust", "known": (), "seed": 7}
    found, leaders, _ = chosen_for(sine(300), "30s", **settings)
    tried = leaders.frame.dropna(subset="error")
    tried = tried[~tried["model"].isin(("naive", "seasonal_naive"))]
    assert set(tried["lookback"]) == {30}
    assert set(tried["normalize"]) == {"last"}
    assert set(tried["scaling"]) == {"robust"}
    assert found.seed == 7
    assert found.horizon == 6


def test_a_candidate_that_cannot_be_trained_is_noted_and_the_next_is_tried(monkeypatch, two):
    real = trials.learned

    def broken(lesson, config, progress):
        if config.model.name == "linear":
            raise DataError("no, not this one")
        return real(lesson, config, progress)

    monkeypatch.setattr(trials, "learned", broken)
    _, leaders, progress = chosen_for(sine(300), "30s")
    assert "no, not this one" in set(leaders.frame["note"])
    assert any("no, not this one" in one for one in progress.said)
    assert leaders.frame["error"].notna().sum() == 3  # mlp and both bars


def test_a_short_time_tries_the_first_and_says_what_was_left_out():
    found, leaders, _ = chosen_for(sine(300), "2s")
    assert (leaders.frame["note"] == "no time was left").any()
    trained = leaders.frame["parameters"].notna().sum()
    assert trained <= 1
    assert found.model.name in ("seasonal_lstm", "repeat")


# --- rows of odd shapes ------------------------------------------------------------------------------------------


def test_a_short_series_gets_a_split_that_fits_and_is_told_so():
    progress = Quiet()
    panel = Panel.from_frame(sine(40))
    config = auto.fitting_split(panel, ForecastConfig(model="auto", target="y", horizon=8), progress)
    assert config.split == SplitSpec(validation=8, test=8)
    assert "8 rows validate and 8 test; none are left for intervals" in progress.said[0]
    few = auto.fitting_split(Panel.from_frame(sine(20)), ForecastConfig(target="y", horizon=8), progress)
    assert few.split == SplitSpec(validation=8, test=0.0)
    assert "no score will say what the forecast is worth" in progress.said[1]
    own = ForecastConfig(target="y", horizon=8, split={"validation": 0.2, "test": 0.1})
    assert auto.fitting_split(panel, own, progress) == own


def test_too_few_rows_for_anything_are_refused_with_what_would_do():
    with pytest.raises(DataError, match=r"Received: 16 rows at most. Give 1 more, or shorten the horizon to 7."):
        auto.fitting_split(Panel.from_frame(sine(16)), ForecastConfig(target="y", horizon=8), Quiet())
    shorter = auto.fitting_split(Panel.from_frame(sine(16)), ForecastConfig(target="y", horizon=7), Quiet())
    assert shorter.split.validation == 7


def test_one_short_series_is_forecast(two):
    model = forecast.Forecaster("auto", budget="15s", target="y", horizon=6, training=SHORT)
    model.fit(sine(40, freq="D", m=7).drop(columns="unique_id").set_index("ds"), quiet=True)
    assert np.isfinite(model.predict()["y_pred"]).all()


def test_many_short_series_are_forecast_by_one_network(two):
    frame = sine(50, series=60, freq="D", m=7)
    model = forecast.Forecaster("auto", budget="25s", target="y", horizon=6, training=SHORT)
    model.fit(frame, quiet=True)
    assert len(model.predict()) == 60 * 6
    assert set(model.leaderboard_.frame["loss"]) <= {"mixed", ""}


def test_a_long_series_is_looked_at_in_parts_only():
    """Neither an epoch nor a comparison grows with the rows."""
    config = ForecastConfig(model="auto", target="y", horizon=6)
    panel = Panel.from_frame(sine(60_000))
    tried = candidates.candidates_for(candidates.facts_of(panel, split(panel), config), config)
    assert all(one.training.steps * one.training.batch_size <= 25_600 for one in tried)


# --- candidates and choice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("season", "horizon", "rows", "lookback"),
    [
        (24, 48, 650, 168),  # a week of days
        (24, 720, 8_640, 720),
        (12, 12, 120, 36),
        (1, 5, 2_000, 28),
        (7, 6, 38, 14),  # half of what the horizon leaves, in whole weeks
        (24, 8, 30, 11),  # no whole season fits
        (1, 8, 9, 1),
    ],
)
def test_the_usual_lookback_is_whole_seasons_as_many_as_rows_allow(season, horizon, rows, lookback):
    assert auto.usual_lookback(season, horizon, rows) == lookback


@pytest.mark.parametrize(("series", "lookback"), [(1, 7), (50, 7), (100, 7), (200, 9), (500, 12)])
def test_many_short_series_may_be_seen_for_more_than_half_of_their_rows(series, lookback):
    """26 rows, 12 ahead: a lookback of 12 leaves three windows of each series, which is enough for 500 of them."""
    assert auto.usual_lookback(12, 12, 26, series=series) == lookback


@pytest.mark.parametrize(("horizon", "rows", "lookback"), [(30, 5_000, 210), (3, 5_000, 30), (300, 9_000, 1_200)])
def test_where_a_season_is_far_the_usual_lookback_is_seven_horizons_within_it(horizon, rows, lookback):
    assert auto.usual_lookback(1440, horizon, rows, near=True) == lookback


@pytest.mark.parametrize(("horizon", "near"), [(6, True), (12, False)])  # 12: four horizons reach a day
def test_a_far_season_counts_where_it_says_more_than_the_last_rows(horizon, near):
    def facts(frame):
        panel = Panel.from_frame(frame)
        config = ForecastConfig(target="y", horizon=horizon)
        return candidates.facts_of(panel, split(panel, config.split), config)

    wander = walk(2_000).set_index(pd.date_range("2020-01-01", periods=2_000, freq="30min"))
    assert facts(wander).near == near
    assert not facts(sine(2_000, freq="30min", m=48)).near


def test_lookback_auto_of_a_walk_by_the_minute_is_short_and_the_seasonal_lstm_takes_it():
    wander = walk(1_500).set_index(pd.date_range("2020-01-01", periods=1_500, freq="min"))
    model = forecast.Forecaster(preset="fast", target="y", horizon=5, training={"epochs": 2, "steps": 2})
    model.fit(wander, quiet=True)
    assert model.config.lookback == 35
    scores = model.evaluate()
    assert scores["seasonal_lstm"]["mae"] < 2 * scores["naive"]["mae"]  # it begins with the last value


def test_lookback_auto_is_settled_by_the_rows():
    model = forecast.Forecaster("linear", target="y", lookback="auto", horizon=6, training={"epochs": 1})
    model.fit(sine(600), quiet=True)
    assert model.config.lookback == 168
    assert ForecastConfig(lookback="auto").model_dump()["lookback"] == "auto"


@pytest.mark.parametrize(("season", "near"), [(1, False), (24, False), (48, False), (48, True), (288, True)])
@pytest.mark.parametrize("positive", [True, False])
def test_candidates_are_distinct_and_each_can_be_built(season, near, positive):
    facts = candidates.Facts(season, 6, 500, 1, 490, positive, near)
    tried = candidates.candidates_for(facts, ForecastConfig(model="auto", target="y", horizon=6))
    assert len({str(one.model_dump()) for one in tried}) == len(tried) >= 5
    assert any(one.scaling.method == "log1p" for one in tried) == (positive and not near)
    for one in tried:
        from forecast.models import Shapes, build_core

        shapes = Shapes(lookback=one.lookback, horizon=6, season=season)
        assert build_core(one.model.name, shapes, one.model.options).output_shape == (None, 6, 1)


def judged(errors, stamps=None):
    """A judge of one-step forecasts whose truth is zero, and candidates with these errors."""
    n = len(errors[0])
    index = WindowIndex(np.arange(n), np.zeros(n, np.int64), WindowSpec(lookback=1, horizon=1))
    naive = {"naive": np.ones((n, 1, 1))}
    judge = Judge(index, np.zeros((n, 1, 1)), np.ones((n, 1)), naive, f"{n} cutoffs")
    panel = type("Rows", (), {"ds": np.arange(n) if stamps is None else np.asarray(stamps)})
    about = trials.Trials(panel, None, judge, Quiet(), time.monotonic(), 1e6)
    config = ForecastConfig(target="y", training={"epochs": 5})
    for i, error in enumerate(errors):
        one = trials.Tried(config.replace(seed=i))
        one.y_pred = np.asarray(error, np.float32)[:, None, None]
        one.error, one.seconds = judge.error(one.y_pred), 1.0
        about.tried.append(one)
    return about


def settled_for(about):
    facts = candidates.Facts(1, 1, 100, 1, 100, True)
    return choice.chosen(about, facts, ForecastConfig(model="auto", target="y"))


@pytest.mark.parametrize(("growth", "seeds", "epochs"), [(1.0, 2, 5), (1.6, 1, 5), (4.0, 1, 2)])
def test_where_validation_rows_make_epochs_longer_less_of_them_is_trained(growth, seeds, epochs):
    """Nine seconds are left for what took four: for two seeds, for one, or for half of the epochs of one."""
    about = judged([[0.5, 0.4, 0.5, 0.5]])
    about.budget, about.tried[0].seconds, about.tried[0].growth = 10.0, 4.0, growth
    found, leaders = settled_for(about)
    assert len(found.members()) == leaders.seeds == seeds
    assert found.training.epochs == epochs


@pytest.mark.parametrize(
    ("hurried", "budget", "seeds", "epochs"),
    [(False, 16.5, 3, 5), (True, 10.0, 1, 10), (True, 15.5, 2, 8), (True, 40.0, 3, 10), (True, 3.3, 1, 3)],
)
def test_time_that_is_left_goes_to_more_seeds_and_to_longer_trainings(hurried, budget, seeds, epochs):
    """A trial took 4 s for 5 epochs, and may take twice as long where the clock had ended it."""
    about = judged([[0.5, 0.4, 0.5, 0.5]])
    about.budget, about.tried[0].seconds, about.tried[0].hurried = budget, 4.0, hurried
    found, _ = settled_for(about)
    assert (len(found.members()), found.training.epochs) == (seeds, epochs)


def test_a_trial_says_how_much_longer_an_epoch_is_with_validation_rows(monkeypatch, two):
    found = []
    monkeypatch.setattr(
        auto, "chosen", lambda trials, *about: found.append(trials.tried) or choice.chosen(trials, *about)
    )
    training = {"epochs": 1, "steps": 10_000, "batch_size": 64}
    chosen_for(sine(50, series=60, freq="D", m=7), "300s", lookback=14, training=training)
    # 38 rows of each of 60 series train, and 44 with validation; a window takes 20.
    assert [one.growth for one in found[0]] == [np.ceil(60 * 25 / 64) / np.ceil(60 * 19 / 64)] * 2


def test_networks_whose_errors_cancel_are_averaged_and_others_are_not():
    cancel = judged([[0.5, -0.5, 0.5, -0.5], [-0.4, 0.6, -0.4, 0.6]])
    found, leaders = settled_for(cancel)
    assert leaders.members == 2
    assert leaders.error == pytest.approx(0.05)
    assert found.ensemble.combine == "mean"
    assert len(found.ensemble.members) == 2
    alike = judged([[0.5, 0.5, 0.5, 0.5], [0.6, 0.6, 0.6, 0.6]])
    assert settled_for(alike)[1].members == 1


def test_who_loses_more_in_one_half_than_he_gains_over_all_is_not_better():
    lucky = judged([[0.8, 0.8, 1.1, 1.1]])  # gains 0.05, loses 0.1
    found, leaders = settled_for(lucky)
    assert leaders.members == 0
    assert found.model.name == "repeat"
    assert settled_for(judged([[0.6, 0.6, 1.1, 1.1]]))[1].members == 1  # gains 0.15
    assert settled_for(judged([[1.1, 1.1, 1.0, 1.0]]))[1].members == 0
    at_once = judged([[0.8, 0.8, 1.1, 1.1]], stamps=[7, 7, 7, 7])  # one moment, four series: there are no halves
    assert settled_for(at_once)[1].members == 1


def test_members_that_there_is_no_time_for_are_left_out_and_epochs_shortened():
    about = judged([[0.5, -0.5, 0.5, -0.5], [-0.4, 0.6, -0.4, 0.6]])
    about.budget = 1.5 / trials.ALL  # a training takes 1.15
    found, leaders = settled_for(about)
    assert leaders.members == 1
    assert found.ensemble is None
    about.budget = 0.5 / trials.ALL
    found, _ = settled_for(about)
    assert found.training.epochs == 2


def test_a_leaderboard_survives_being_plain_data():
    about = judged([[0.5, -0.5, 0.5, -0.5], [np.nan] * 4])
    about.tried[1].note = "it broke"
    _, leaders = settled_for(about)
    import json

    again = board.Leaderboard.from_dict(json.loads(json.dumps(leaders.to_dict()).replace("NaN", "null")))
    assert str(again) == str(leaders)


# --- settings that do not go together ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": "10min"}, "`budget` is the time of model 'auto'.*with model 'lstm'"),
        ({"model": "auto", "budget": "10"}, "a time such as '90s', '10min' or '2h'. Received: '10'"),
        ({"model": "auto", "budget": "soon"}, "Received: 'soon'"),
        ({"model": "auto", "budget": "0s"}, "Received: '0s'"),
        (
            {"model": "auto", "ensemble": 3},
            "chooses networks, their options and ensembles itself. Received: an ensemble",
        ),
        ({"model": {"name": "auto", "units": 3}}, "Received: options units"),
    ],
)
def test_settings_that_auto_cannot_use_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        ForecastConfig(**settings)


def test_a_search_is_not_resumed(tmp_path):
    model = forecast.Forecaster("auto", target="y", horizon=6)
    with pytest.raises(ConfigError, match="cannot be taken up again"):
        model.fit(sine(), keep=tmp_path, resume=True, quiet=True)
    with pytest.raises(NotFitted):
        model.predict()
