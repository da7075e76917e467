import doctest
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter, date2num
from matplotlib.figure import Figure

import forecast
from forecast import plotting
from forecast.evaluation.backtest import Backtest
from forecast.evaluation.bands import Bands
from forecast.plotting import _diagnostics, _style, _training
from forecast.plotting._kinds import _KINDS
from pipelines.errors import ConfigError, DataError, NotFitted, UnknownName
from pipelines.panel import Panel
from pipelines.splits import SplitSpec, split
from pipelines.windows import WindowSpec, index_windows

ROWS = 60


def a_panel(series=1, dated=True, rows=ROWS, missing=(), freq="D"):
    """Every value is its own row number within its series, plus 1000 times the series' number; some are missing."""
    values = np.arange(float(rows))
    values[list(missing)] = np.nan
    stamps = pd.date_range("2024-01-01", periods=rows, freq=freq) if dated else np.arange(rows)
    frames = [pd.DataFrame({"unique_id": f"s{i}", "ds": stamps, "Close": values + 1000 * i}) for i in range(series)]
    options = {"freq": freq} if dated else {}
    if series == 1:
        return Panel.from_frame(frames[0].drop(columns="unique_id").set_index("ds"), **options)
    return Panel.from_frame(pd.concat(frames), **options)


def a_backtest(panel, horizon=3, part="test", first=40, end=None, only=None, gap=0):
    """A model that is 1 too high at step 1, 2 at step 2, ...; naive repeats the row number of the cutoff."""
    spec = WindowSpec(lookback=5, horizon=horizon, gap=gap)
    ends = panel.offsets[1:] if end is None else panel.offsets[:-1] + end
    index = index_windows(panel.offsets, spec, (panel.offsets[:-1] + first, ends))
    if only is not None:
        index = index[np.isin(index.series, only)]
    steps = gap + np.arange(1, horizon + 1)
    base = (index.cutoffs - panel.offsets[index.series] + 1000.0 * index.series)[:, None, None]
    y_true = index.future(panel.values).astype(float)
    rise = np.arange(1.0, horizon + 1)[None, :, None]
    naive = base + 0 * rise
    y_pred = {"lstm": base + (steps + np.arange(1, horizon + 1))[None, :, None], "naive": naive, "drift": naive + 0.5}
    y_pred |= {"mean": naive - 100}
    training = {name: np.ones((len(index), 1)) for name in ("mase_scale", "rmsse_scale", "low", "high")}
    return Backtest(panel, index, ("Close",), y_true, y_pred, naive[:, 0], training, part, "dollars")


def lines(ax):
    """Each labelled line's (x, y) by its label."""
    return {line.get_label(): (line.get_xdata(), line.get_ydata()) for line in ax.lines}


def drawn_values(ax, label):
    y = np.asarray(lines(ax)[label][1], float)
    return y[~np.isnan(y)].tolist()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def upright_at(ax):
    """Where the dotted vertical line stands, and its label."""
    (line,) = [line for line in ax.lines if line.get_linestyle() == ":"]
    return date2num(line.get_xdata()[0]) if ax.xaxis.get_converter() else line.get_xdata()[0], line.get_label()


HISTORY = pd.DataFrame({"epoch": [0, 1, 2, 3], "loss": [np.nan, 0.5, 0.4, 0.3], "val_loss": [0.9, 0.6, 0.5, 0.7]})


# --- the forecast -----------------------------------------------------------------------------------------------


def test_the_forecast_holds_the_numbers_of_the_backtests_frame():
    backtest = a_backtest(a_panel())
    ax = plotting.plot_forecast(backtest)
    frame = backtest.frame()
    last = frame[frame["cutoff"] == frame["cutoff"].max()]
    for label, column in (("lstm", "y_pred"), ("naive", "naive")):
        x, y = lines(ax)[label]
        np.testing.assert_array_equal(y, last[column])
        np.testing.assert_array_equal(x, last["ds"].to_numpy())
    x, y = lines(ax)["truth"]
    np.testing.assert_array_equal(y[-3:], last["y_true"])
    assert x[-1] == last["ds"].iloc[-1]


def test_the_truth_reaches_from_before_the_cutoff_to_the_end_of_the_horizon_in_one_line():
    ax = plotting.plot_forecast(a_backtest(a_panel()), past=7)
    assert drawn_values(ax, "truth") == list(range(50, 60))  # 7 rows to the cutoff 56, and 3 after it


def test_the_cutoff_is_marked_where_it_is_and_named():
    ax = plotting.plot_forecast(a_backtest(a_panel()), cutoff="2024-02-20")
    at, label = upright_at(ax)
    assert at == date2num(np.datetime64("2024-02-20"))
    assert label == "cutoff 2024-02-20"
    assert "cutoff 2024-02-20" in legend(ax)
    assert drawn_values(ax, "lstm") == [52, 54, 56]  # 20 February is row 50


def test_the_title_and_the_axis_name_model_target_unit_and_errors():
    ax = plotting.plot_forecast(a_backtest(a_panel()))
    assert ax.get_title() == "lstm: Close, 3 steps after 2024-02-26\nMAE 2.000 dollars (naive 2.000)"
    assert ax.get_ylabel() == "Close, dollars"


def test_the_shown_error_is_that_of_the_shown_cutoff_alone():
    backtest = a_backtest(a_panel())
    backtest.y_pred["lstm"][-1] = backtest.y_true[-1] + 0.25
    assert "MAE 0.2500 dollars (naive 2.000)" in plotting.plot_forecast(backtest).get_title()
    assert "MAE 2.000 dollars" in plotting.plot_forecast(backtest, cutoff="2024-02-20").get_title()


def test_by_default_the_last_cutoff_whose_truth_is_all_known_is_drawn():
    ax = plotting.plot_forecast(a_backtest(a_panel(missing=[58])))
    assert upright_at(ax)[1] == "cutoff 2024-02-24"  # row 54: its horizon ends before row 58


def test_a_missing_truth_stays_a_gap_and_is_not_scored():
    ax = plotting.plot_forecast(a_backtest(a_panel(missing=[50, 58])), cutoff="2024-02-26")
    truth = lines(ax)["truth"][1]
    assert np.isnan(truth).sum() == 2
    assert np.isnan(truth[-2])
    assert "MAE 2.000 dollars (naive 2.000)" in ax.get_title()  # steps 1 and 3


def test_a_value_alone_between_two_gaps_is_a_point():
    ax = plotting.plot_splits(panel := a_panel(missing=[10, 12]), split(panel))
    assert ax.lines[0].get_markevery() == [11]
    assert ax.lines[0].get_marker() == "o"


def test_where_nothing_was_observed_the_title_says_so():
    backtest = a_backtest(a_panel())
    backtest.y_true[:] = np.nan
    assert "unknown, nothing was observed" in plotting.plot_forecast(backtest).get_title()


def test_with_a_horizon_of_one_the_last_120_forecasts_stand_beside_truth_and_naive():
    backtest = a_backtest(a_panel(rows=300), horizon=1, first=100)
    ax = plotting.plot_forecast(backtest)
    frame = backtest.frame().tail(120)
    np.testing.assert_array_equal(lines(ax)["lstm"][1], frame["y_pred"])
    np.testing.assert_array_equal(lines(ax)["naive"][1], frame["naive"])
    np.testing.assert_array_equal(lines(ax)["truth"][1][-120:], frame["y_true"])
    assert upright_at(ax) == (date2num(frame["cutoff"].iloc[0]), f"first cutoff {frame['cutoff'].iloc[0]:%Y-%m-%d}")
    assert "120 one-step forecasts" in ax.get_title()


def test_one_step_forecasts_that_were_not_made_are_gaps():
    backtest = a_backtest(a_panel(), horizon=1)
    keep = np.ones(len(backtest.index), bool)
    keep[5:8] = False
    thinned = Backtest(
        backtest.panel,
        backtest.index[keep],
        backtest.targets,
        backtest.y_true[keep],
        {name: y[keep] for name, y in backtest.y_pred.items()},
        backtest.last[keep],
        {name: y[keep] for name, y in backtest.training.items()},
        "test",
        "",
    )
    y = lines(plotting.plot_forecast(thinned))["lstm"][1]
    assert np.flatnonzero(np.isnan(y)).tolist() == [5, 6, 7]
    assert plotting.plot_forecast(thinned).get_ylabel() == "Close"  # nobody said which unit


def test_a_gap_between_past_and_future_moves_the_forecast_and_not_the_cutoff():
    ax = plotting.plot_forecast(a_backtest(a_panel(dated=False), gap=4), cutoff=50)
    assert lines(ax)["lstm"][0].tolist() == [55, 56, 57]
    assert upright_at(ax)[0] == 50


def test_integer_stamps_are_integers_on_the_axis():
    ax = plotting.plot_forecast(a_backtest(a_panel(dated=False)))
    ax.figure.canvas.draw()
    assert all(float(t.get_text()).is_integer() for t in ax.get_xticklabels() if t.get_text())
    assert upright_at(ax) == (56, "cutoff 56")
    assert ax.get_xlabel() == "stamp"


def test_dates_are_written_short():
    ax = plotting.plot_forecast(a_backtest(a_panel()))
    assert isinstance(ax.xaxis.get_major_formatter(), ConciseDateFormatter)
    ax.figure.canvas.draw()
    assert 3 <= len(ax.get_xticks()) <= 10


def test_stamps_with_a_time_zone_are_drawn_as_their_clock_shows_them():
    stamps = pd.date_range("2024-01-01 16:00", periods=ROWS, freq="D", tz="America/New_York")
    panel = Panel.from_frame(pd.DataFrame({"Close": np.arange(float(ROWS))}, index=stamps), freq="D")
    for cutoff in ("2024-02-20 16:00", pd.Timestamp("2024-02-20 21:00", tz="UTC")):
        ax = plotting.plot_forecast(a_backtest(panel), cutoff=cutoff)
        assert upright_at(ax)[0] == date2num(np.datetime64("2024-02-20T16:00"))


# --- many series ------------------------------------------------------------------------------------------------


def test_of_many_series_the_first_with_forecasts_is_drawn_and_the_title_says_one_of_how_many():
    ax = plotting.plot_forecast(a_backtest(a_panel(series=3), only=[1, 2]))
    assert "Close of s1 (1 of 3 series)" in ax.get_title()
    assert drawn_values(ax, "naive") == [1056] * 3


def test_a_series_is_chosen_by_its_name():
    ax = plotting.plot_forecast(a_backtest(a_panel(series=3)), series="s2")
    assert "Close of s2 (1 of 3 series)" in ax.get_title()
    assert min(drawn_values(ax, "truth")) >= 2000


def test_a_name_that_nobody_has_is_refused_with_the_names_there_are():
    backtest = a_backtest(a_panel(series=3))
    with pytest.raises(UnknownName, match=r"No series is called 's9'.*Choose from: s0, s1, s2"):
        plotting.plot_forecast(backtest, series="s9")
    with pytest.raises(UnknownName, match=r"No target is called 'close'. Did you mean 'Close'?"):
        plotting.plot_forecast(backtest, target="close")


def test_a_series_without_forecasts_is_refused_with_those_that_have_some():
    with pytest.raises(DataError, match=r"Received: 's0', which has none. Choose from: s1, s2"):
        plotting.plot_forecast(a_backtest(a_panel(series=3), only=[1, 2]), series="s0")


def test_a_cutoff_that_nothing_was_forecast_from_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"18 stamps, 2024-02-09 to 2024-02-26.*The nearest is 2024-02-26"):
        plotting.plot_forecast(a_backtest(a_panel()), cutoff="2024-02-28")
    with pytest.raises(ConfigError, match=r"`cutoff` must be a date. Received: 'yesterday-ish'"):
        plotting.plot_forecast(a_backtest(a_panel()), cutoff="yesterday-ish")
    with pytest.raises(ConfigError, match=r"`past` must be an integer >= 0. Received: -1"):
        plotting.plot_forecast(a_backtest(a_panel()), past=-1)


# --- the future -------------------------------------------------------------------------------------------------


def a_future(panel, steps=4, series="series"):
    ahead, _ = panel.extend(steps)
    s = panel.ids.index(series)
    ds = ahead.stamps_of(ahead.ds[ahead.rows(s)], s)
    frame = pd.DataFrame({"unique_id": series, "target": "Close", "ds": ds[-steps:], "cutoff": ds[-steps - 1]})
    return frame.assign(step=np.arange(1, steps + 1), y_pred=100.0 + np.arange(steps))


@pytest.mark.parametrize("dated", [True, False])
def test_the_future_is_the_frames_after_the_last_rows_with_naive_beside_it(dated):
    panel = a_panel(dated=dated, missing=[59])
    frame = a_future(panel)
    ax = plotting.plot_future(panel, frame, model="lstm", unit="dollars", past=6)
    x, y = lines(ax)["lstm"]
    np.testing.assert_array_equal(y, frame["y_pred"])
    np.testing.assert_array_equal(x, frame["ds"].to_numpy())
    assert drawn_values(ax, "truth") == [54, 55, 56, 57, 58]
    assert drawn_values(ax, "naive") == [58] * 4  # the last value that anybody measured
    assert upright_at(ax)[1] == ("cutoff 2024-02-29" if dated else "cutoff 59")
    assert ax.get_title().startswith("lstm: Close, 4 steps after ")
    assert ax.get_ylabel() == "Close, dollars"


def test_intervals_are_drawn_where_the_frame_has_them():
    panel = a_panel()
    frame = a_future(panel)
    for level, width in ((80, 1.0), (95, 2.0)):
        frame[f"y_pred_lo_{level}"], frame[f"y_pred_hi_{level}"] = frame["y_pred"] - width, frame["y_pred"] + width
    ax = plotting.plot_future(panel, frame)
    wide, narrow = ax.collections
    assert (wide.get_label(), narrow.get_label()) == ("95 %", "80 %")
    assert wide.get_paths()[0].get_extents().ymin == 98
    assert narrow.get_paths()[0].get_extents().ymin == 99


def test_the_future_of_an_absent_series_is_refused():
    panel = a_panel(series=2)
    with pytest.raises(DataError, match=r"Received: 's1', which has none. Choose from: s0"):
        plotting.plot_future(panel, a_future(panel, series="s0"), series="s1")
    with pytest.raises(DataError, match="must have rows"):
        plotting.plot_future(panel, a_future(panel, series="s0").iloc[:0])


# --- the fit ----------------------------------------------------------------------------------------------------


def test_the_fit_shows_each_parts_forecasts_over_the_whole_series_and_nothing_in_between():
    panel = a_panel()
    train, test = a_backtest(panel, part="train", first=0, end=30), a_backtest(panel, first=40)
    ax = plotting.plot_fit(train, test, step=2)
    assert drawn_values(ax, "truth") == list(range(ROWS))
    for label, backtest in (("lstm on train rows", train), ("lstm on later rows", test)):
        frame = backtest.frame().query("step == 2")
        assert drawn_values(ax, label) == frame["y_pred"].tolist()
    trained, later = (lines(ax)[f"lstm on {rows} rows"][1] for rows in ("train", "later"))
    assert np.isnan(trained[30:]).all()
    assert np.isnan(later[:40]).all()
    assert "forecasts 2 steps ahead" in ax.get_title()
    assert "train 2.000 (naive 2.000), test 2.000 (naive 2.000)" in ax.get_title()


def test_the_parts_of_the_fit_are_shaded_from_where_they_start():
    panel = a_panel(dated=False)
    ax = plotting.plot_fit(a_backtest(panel, part="train", first=0, end=30), a_backtest(panel, first=40))
    shades = {patch.get_label(): patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches}
    assert shades["test"].x0 == pytest.approx(40)
    assert shades["train"].x1 == pytest.approx(30)


def test_the_fit_of_many_series_is_of_the_first_that_has_most_parts():
    panel = a_panel(series=3)
    train = a_backtest(panel, part="train", first=0, end=30)
    assert "s2 (1 of 3" in plotting.plot_fit(train, a_backtest(panel, only=[2])).get_title()


def test_a_step_beyond_the_horizon_is_refused():
    with pytest.raises(ConfigError, match=r"`step` must be an integer from 1 to the horizon, 3. Received: 4"):
        plotting.plot_fit(a_backtest(a_panel()), step=4)
    with pytest.raises(ConfigError, match=r"must be one or more, of the same rows. Received: 60 rows, 50 rows"):
        plotting.plot_fit(a_backtest(a_panel()), a_backtest(a_panel(rows=50)))


# --- history, errors, splits ------------------------------------------------------------------------------------


def test_the_history_shows_both_losses_the_untrained_level_and_the_best_epoch():
    ax = plotting.plot_history(HISTORY, best_epoch=2, loss="mse")
    np.testing.assert_array_equal(lines(ax)["training loss"][1], HISTORY["loss"])
    np.testing.assert_array_equal(lines(ax)["validation loss"][1], HISTORY["val_loss"])
    assert drawn_values(ax, "untrained network") == [0.9, 0.9]
    assert [list(data) for data in lines(ax)["best epoch, 2"]] == [[2], [0.5]]
    assert ax.get_ylabel() == "mse of scaled values"
    assert ax.get_title() == "Loss by epoch; the weights of epoch 2 were kept\nvalidation loss 0.5000, untrained 0.9000"


def test_losses_that_range_widely_are_drawn_on_a_logarithmic_axis_and_others_are_not():
    wide = HISTORY.assign(val_loss=[30.0, 0.6, 0.5, 0.7])
    assert plotting.plot_history(wide, 2).get_yscale() == "log"
    assert "log scale" in plotting.plot_history(wide, 2).get_ylabel()
    assert plotting.plot_history(HISTORY, 2).get_yscale() == "linear"


def test_training_that_never_beat_the_untrained_network_says_so():
    assert "never beat the untrained network" in plotting.plot_history(HISTORY, best_epoch=0).get_title()


def test_a_history_that_ends_in_nan_is_drawn():
    ax = plotting.plot_history(HISTORY.assign(loss=[np.nan, 0.5, 0.4, np.nan], val_loss=[0.9, 0.6, 0.5, np.inf]), 2)
    ax.figure.canvas.draw()


def test_the_error_by_step_is_the_backtests_own_beside_naive_and_the_strongest_other_baseline():
    backtest = a_backtest(a_panel(series=2))
    ax = plotting.plot_error_by_step(backtest)
    mae = backtest.by("step")["mae"]
    for label, name in (("lstm", "lstm"), ("naive", "naive"), ("drift, the strongest other baseline", "drift")):
        x, y = lines(ax)[label]
        np.testing.assert_array_equal(y, mae.xs(name, level="model"))
        assert x.tolist() == [1, 2, 3]
    assert drawn_values(ax, "lstm") == pytest.approx([1, 2, 3])
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylabel() == "MAE of Close, dollars"
    assert "of 2 series" in ax.get_title()


def test_the_error_of_a_single_step_is_a_point_inside_the_picture():
    ax = plotting.plot_error_by_step(a_backtest(a_panel(), horizon=1))
    assert ax.get_ylim()[1] > 1
    assert all(line.get_marker() == "o" for line in ax.lines)


def test_the_parts_are_shaded_where_the_rows_are_cut_and_say_how_many_rows_they_have():
    panel = a_panel(dated=False, rows=100)
    ax = plotting.plot_splits(
        panel, split(panel, SplitSpec(validation=0.1, calibration=0.15, test=0.25)), unit="dollars"
    )
    assert legend(ax) == ["Close", "train, 50 rows", "validation, 10 rows", "calibration, 15 rows", "test, 25 rows"]
    edges = [patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches]
    assert [edge.x0 for edge in edges] == pytest.approx([0, 50, 60, 75])
    assert [edge.x1 for edge in edges] == pytest.approx([50, 60, 75, 99])
    assert drawn_values(ax, "Close") == list(range(100))
    assert ax.get_ylabel() == "Close, dollars"


def test_an_empty_part_is_not_in_the_picture():
    panel = a_panel(series=2)
    ax = plotting.plot_splits(panel, split(panel, SplitSpec(calibration=0.0)), series="s1")
    assert not any("calibration" in label for label in legend(ax))
    assert "Close of s1 (1 of 2 series): 60 rows" in ax.get_title()


# --- moves and intervals over time --------------------------------------------------------------------------------


def with_intervals(backtest, half=2.0, last=0):
    """Intervals of 80 % around naive, `half` to either side; of 95 % twice as wide. They miss all `last` rows."""
    naive = backtest.y_pred["naive"]
    shift = np.where(np.arange(len(naive)) >= len(naive) - last, 500.0, 0.0)[:, None, None]
    ends = {level: (naive - by + shift, naive + by + shift) for level, by in ((80.0, half), (95.0, 2 * half))}
    return replace(backtest, bands=Bands(None, None, ends))


def test_moves_are_percent_of_the_value_at_the_cutoff_and_share_no_row():
    panel = a_panel()
    ax = plotting.plot_moves(a_backtest(panel))
    x, y = lines(ax)["a move by lstm"]
    cutoffs = np.arange(39, 57, 3)  # rows, and values: every third of 18
    np.testing.assert_allclose(x, 100 * 3 / cutoffs)
    np.testing.assert_allclose(y, 100 * 6 / cutoffs, rtol=1e-6)  # 3 rows and 3 too high
    assert ax.get_xlim() == ax.get_ylim()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("realised move, %", "predicted move, %")
    assert ax.get_title().startswith("lstm: Close, 6 moves over 3 steps\n")
    assert "direction 100.0 % right (95 % interval 61.0 to 100.0; up 100.0 %)" in ax.get_title()
    at_one = lines(plotting.plot_moves(a_backtest(panel), step=1))["a move by lstm"][0]
    np.testing.assert_allclose(at_one, 100 / np.arange(39, 57))


def test_moves_of_values_below_zero_are_in_units():
    backtest = a_backtest(a_panel())
    lower = replace(backtest, y_true=backtest.y_true - 50, last=backtest.last - 50)
    ax = plotting.plot_moves(lower)
    assert set(lines(ax)["a move by lstm"][0]) == {3.0}
    assert ax.get_xlabel() == "realised move, dollars"
    assert "correlation" not in ax.get_title()


def test_moves_of_one_series_of_many_are_of_that_series():
    ax = plotting.plot_moves(a_backtest(a_panel(series=2)), series="s1")
    np.testing.assert_allclose(lines(ax)["a move by lstm"][0], 300 / np.arange(1039, 1057, 3))
    assert "Close of s1 (1 of 2 series)" in ax.get_title()


def test_intervals_over_time_show_their_ends_and_what_they_missed():
    panel = a_panel()
    backtest = with_intervals(a_backtest(panel), half=2.0)  # step 3 is 3 above naive: missed by 80 %, held by 95 %
    ax = plotting.plot_intervals(backtest, step=3)
    x, y = lines(ax)["missed, 18 of 18"]
    np.testing.assert_array_equal(y, np.arange(42, 60))
    np.testing.assert_array_equal(x, panel.stamps_of(panel.ds[42:60], 0))
    assert "80 %: held 0.0 %, mean width 4.000 dollars" in ax.get_title()
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (39 - 2, 56 + 2)
    wide = plotting.plot_intervals(backtest, step=3, level=95)
    assert "missed, 0 of 18" in lines(wide)
    assert "95 %: held 100.0 %, mean width 8.000 dollars" in wide.get_title()


def test_an_unobserved_value_is_a_gap_and_neither_held_nor_missed():
    backtest = with_intervals(a_backtest(a_panel()))
    backtest.y_true[5, 0] = np.nan
    ax = plotting.plot_intervals(backtest)
    assert "missed, 0 of 17" in lines(ax)
    assert np.isnan(lines(ax)["truth"][1]).sum() == 1
    assert len(lines(plotting.plot_coverage(backtest, lately=3))["fixed"][0]) == 17 - 2


def test_coverage_is_the_share_of_the_last_forecasts_that_held():
    panel = a_panel()
    backtest = with_intervals(a_backtest(panel), last=4)
    ax = plotting.plot_coverage(backtest, lately=4)
    x, y = lines(ax)["fixed"]
    np.testing.assert_allclose(y, [100] * 11 + [75, 50, 25, 0])
    np.testing.assert_array_equal(x, panel.stamps_of(panel.ds[43:58], 0))
    assert set(lines(ax)["80 % claimed"][1]) == {80}
    assert "over all of them: fixed 77.8 %" in ax.get_title()


def test_intervals_that_are_not_there_are_refused():
    backtest = a_backtest(a_panel())
    for plot in (plotting.plot_intervals, plotting.plot_coverage):
        with pytest.raises(ConfigError, match="must have intervals"):
            plot(backtest)
        with pytest.raises(ConfigError, match=r"`level` must be one of the backtest's, 80, 95. Received: 90"):
            plot(with_intervals(backtest), level=90)
    with pytest.raises(ConfigError, match=r"`lately` must be an integer from 1 to .*, 18. Received: 19"):
        plotting.plot_coverage(with_intervals(backtest), lately=19)
    with pytest.raises(ConfigError, match="must be a backtest"):
        plotting.plot_coverage()


# --- what all pictures share ------------------------------------------------------------------------------------


def every_picture(ax=None):
    panel = a_panel()
    backtest = a_backtest(panel)
    yield plotting.plot_forecast(backtest, ax=ax)
    yield plotting.plot_future(panel, a_future(panel), ax=ax)
    yield plotting.plot_fit(a_backtest(panel, part="train", first=0, end=30), backtest, ax=ax)
    yield plotting.plot_history(HISTORY, 2, ax=ax)
    yield plotting.plot_error_by_step(backtest, ax=ax)
    yield plotting.plot_splits(panel, split(panel), ax=ax)
    yield plotting.plot_moves(backtest, ax=ax)
    yield plotting.plot_intervals(with_intervals(backtest), ax=ax)
    yield plotting.plot_coverage(with_intervals(backtest), lately=5, ax=ax)


def test_every_picture_is_axes_with_a_title_labels_and_a_legend_outside_the_data():
    for ax in every_picture():
        assert isinstance(ax, Axes)
        ax.figure.canvas.draw()
        assert ax.get_title()
        assert ax.get_ylabel()
        assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1 - 1
        title, whole = ax.title.get_window_extent(), ax.figure.bbox
        assert title.y0 >= ax.get_legend().get_window_extent().y1 - 2
        assert (title.x1, title.y1) <= (whole.x1, whole.y1)


def test_model_naive_and_truth_look_the_same_in_every_picture():
    look = {"truth": (_style.TRUTH, "-"), "naive": (_style.NAIVE, "--"), "lstm": (_style.MODEL, "-")}
    seen = set()
    for ax in every_picture():
        for line in ax.lines:
            if line.get_label() in look:
                colour, dashes = look[line.get_label()]
                assert (colors.to_hex(line.get_color()).upper(), line.get_linestyle()) == (colour.upper(), dashes)
                seen.add(line.get_label())
    assert seen == set(look)


def test_the_callers_axes_are_drawn_on_and_returned():
    for i in range(9):
        mine = Figure().add_subplot()
        pictures = every_picture(mine)
        assert [next(pictures) for _ in range(i + 1)][-1] is mine


def test_without_a_display_many_pictures_leave_no_figure_behind_and_no_setting_changed():
    import matplotlib
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    before, figures = dict(matplotlib.rcParams), plt.get_fignums()
    for _ in range(4):
        drawn = list(every_picture())
    for ax in drawn:
        ax.figure.canvas.draw()
    assert plt.get_fignums() == figures
    assert dict(matplotlib.rcParams) == before


def test_where_pyplot_shows_figures_it_knows_each_picture_once():
    import matplotlib.pyplot as plt

    plt.switch_backend("module://matplotlib_inline.backend_inline")
    try:
        before = set(plt.get_fignums())
        ax = plotting.plot_history(HISTORY, 2)
        (new,) = set(plt.get_fignums()) - before
        assert plt.figure(new) is ax.figure
        plt.close(ax.figure)
    finally:
        plt.switch_backend("agg")


def test_importing_the_pictures_loads_neither_matplotlib_nor_tensorflow():
    code = "import sys, forecast.plotting; sys.exit(bool({'matplotlib', 'keras', 'tensorflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", [plotting, _diagnostics, _training])
def test_the_examples_run(module):
    assert doctest.testmod(module).failed == 0


# --- from a forecaster ------------------------------------------------------------------------------------------


def test_an_unknown_kind_or_option_is_refused_with_what_was_probably_meant():
    with pytest.raises(ConfigError, match=r"`kind` must be one of forecast, fit.*'hist'. Did you mean 'history'\?"):
        plotting.draw(forecast.Forecaster(target="y"), "hist")
    with pytest.raises(ConfigError, match=r"'fit' takes series.*Received: 'steps'. Did you mean 'step'\?"):
        plotting.draw(forecast.Forecaster(target="y"), "fit", steps=2)


@pytest.mark.parametrize("kind", [*_KINDS])
def test_before_fit_there_is_nothing_to_draw(kind):
    with pytest.raises(NotFitted):
        plotting.draw(forecast.Forecaster(target="y"), kind)


def test_a_trained_forecaster_draws_every_kind():
    days = pd.date_range("2024-01-01", periods=70, freq="D")
    walk = np.random.default_rng(0).normal(size=(2, 70)).cumsum(axis=1)
    frames = [pd.DataFrame({"unique_id": f"s{i}", "ds": days, "y": walk[i]}) for i in range(2)]
    model = forecast.Forecaster(lookback=5, horizon=2, unit="points", training={"epochs": 1, "monitor": True})
    model.fit(pd.concat(frames), quiet=True)

    frame = model.backtest().frame().query("unique_id == 's1'")
    ax = model.plot(series="s1")
    np.testing.assert_allclose(lines(ax)["lstm"][1], frame["y_pred"].tail(2), rtol=1e-5)
    np.testing.assert_allclose(lines(ax)["truth"][1][-2:], frame["y_true"].tail(2))
    assert "y of s1 (1 of 2 series)" in ax.get_title()

    future = model.plot(steps=3)
    ahead = model.predict(steps=3).query("unique_id == 's0'")
    np.testing.assert_allclose(lines(future)["lstm"][1], ahead["y_pred"], rtol=1e-5)
    np.testing.assert_array_equal(lines(future)["lstm"][0], ahead["ds"].to_numpy())
    assert future.get_ylabel() == "y, points"

    assert "lstm on later rows" in lines(model.plot("fit", series="s1"))
    assert "best epoch, " in "".join(legend(model.plot("history")))
    assert lines(model.plot("error_by_step"))["lstm"][0].tolist() == [1, 2]
    assert "train, 42 rows" in legend(model.plot("splits", series="s1"))
    moved = frame.query("step == 2").iloc[::2]
    np.testing.assert_allclose(
        lines(model.plot("moves", series="s1"))["a move by lstm"][0], moved["y_true"] - moved["naive"]
    )
    ends = model.plot("intervals", series="s1").collections[0].get_paths()[0].vertices[:, 1]
    first = frame.query("step == 1").filter(regex="_(lo|hi)_").iloc[:, :2]
    np.testing.assert_allclose((ends.min(), ends.max()), (first.min().iloc[0], first.max().iloc[1]), rtol=1e-5)
    assert "adaptive intervals 2 steps ahead" in model.plot("intervals", step=2, adaptive=True).get_title()
    assert {"fixed", "adaptive"} < set(lines(model.plot("coverage", series="s1", lately=5)))
    with pytest.raises(UnknownName, match="No series is called 's7'"):
        model.plot(series="s7")
    with pytest.raises(ConfigError, match="`cutoff` is for a forecast of a backtest, `steps` for the future"):
        model.plot(steps=2, cutoff="2024-03-01")

    everything = forecast.Forecaster(lookback=5, horizon=2, split={"test": 0.0}, training={"epochs": 1})
    everything.fit(frames[0], quiet=True)
    assert upright_at(everything.plot())[1] == "cutoff 2024-03-10"  # no test part: the future, after the last row
