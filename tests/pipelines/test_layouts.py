"""Every DataFrame that people have becomes the same panel, or is refused with the way out."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigError, DataError, UnknownName
from pipelines.panel import Panel

DAYS = pd.date_range("2024-01-01", periods=5)
NS = DAYS.as_unit("ns").asi8


def one(values=(0.0, 1.0, 2.0, 3.0, 4.0), index=DAYS, name="y"):
    return pd.DataFrame({name: values}, index=index)


def long_frame(counts, seed=0):
    """Returns series a, b, ... of some lengths; every value is its own row number."""
    frames = [
        pd.DataFrame({"unique_id": chr(97 + s), "ds": pd.date_range("2024-01-01", periods=n, freq="h")})
        for s, n in enumerate(counts)
    ]
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(y=np.arange(len(frame), dtype=float), z=-np.arange(len(frame), dtype=float))


def same(a, b):
    """True where two panels hold the same series, in whatever order."""
    order = [b.ids.index(name) for name in a.ids]
    b = b.take(order)
    return (a.columns, a.calendars) == (b.columns, b.calendars) and all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == "values")
        for name in ("offsets", "ds", "values")
    )


# What is accepted


def test_a_date_index_gives_utc_nanoseconds_and_a_daily_calendar():
    panel = Panel.from_frame(one())
    assert (panel.ids, panel.columns, panel.offsets.tolist()) == (("series",), ("y",), [0, 5])
    assert panel.ds.tolist() == NS.tolist()
    assert (panel.ds.dtype, panel.values.dtype) == (np.int64, np.float32)
    assert panel.values[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert panel.calendars[0].code == "D"


@pytest.mark.parametrize(
    "stamps",
    [
        pd.period_range("2024-01-01", periods=5, freq="D"),
        pd.Index([str(day.date()) for day in DAYS]),
        pd.Index([day.date() for day in DAYS], dtype=object),
        pd.Index([day.to_pydatetime() for day in DAYS], dtype=object),
        pd.Index(DAYS.astype("timestamp[us][pyarrow]")),
        pd.Index(DAYS.astype("date32[pyarrow]")),
        *(DAYS.as_unit(unit) for unit in ("s", "ms", "us", "ns")),
    ],
    ids=lambda index: f"{index.dtype}",
)
@pytest.mark.parametrize("where", ["index", "ds", "time_col"])
def test_stamps_of_every_kind_and_unit_are_the_same_stamps(stamps, where):
    if where == "index":
        panel = Panel.from_frame(one(index=stamps))
    elif where == "ds":
        panel = Panel.from_frame(pd.DataFrame({"ds": stamps, "y": np.arange(5.0)}))
    else:
        panel = Panel.from_frame(pd.DataFrame({"y": np.arange(5.0), "day": stamps}), time_col="day")
    assert same(panel, Panel.from_frame(one()))


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint32", "Int64", "int64[pyarrow]"])
def test_integer_stamps_are_steps_without_dates(dtype):
    frame = pd.DataFrame({"ds": pd.Series([7, 3, 5], dtype=dtype), "y": [7.0, 3.0, 5.0]})
    panel = Panel.from_frame(frame)
    assert (panel.ds.tolist(), panel.values[:, 0].tolist()) == ([3, 5, 7], [3, 5, 7])
    assert (panel.dated, panel.calendars[0].code) == (False, "")
    assert Panel.from_frame(pd.DataFrame({"y": [1.0, 2.0]})).ds.tolist() == [0, 1]


def test_a_series_is_one_column():
    assert same(Panel.from_frame(one()["y"].rename(None)), Panel.from_frame(one()))
    assert Panel.from_frame(one()["y"].rename("Close")).columns == ("Close",)


def test_column_names_that_are_numbers_become_text():
    panel = Panel.from_frame(pd.DataFrame(np.arange(10.0).reshape(5, 2), index=DAYS))
    assert (panel.columns, panel.values[4].tolist()) == (("0", "1"), [8, 9])
    assert Panel.from_frame(pd.DataFrame({0: [1.0], 1: [2.0]}), columns=["1"]).values.tolist() == [[2]]


def test_long_rows_are_series_one_after_the_other():
    panel = Panel.from_frame(long_frame([3, 1, 2]))
    assert (panel.ids, panel.columns, panel.offsets.tolist()) == (("a", "b", "c"), ("y", "z"), [0, 3, 4, 6])
    assert panel.values[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_other_names_than_unique_id_and_ds_are_given_or_known_from_the_source():
    frame = long_frame([3, 2])
    other = frame.rename(columns={"unique_id": "shop", "ds": "hour"})
    expected = Panel.from_frame(frame)
    assert same(Panel.from_frame(other, id_col="shop", time_col="hour"), expected)
    other.attrs.update(id_col="shop", time_col="hour")
    assert same(Panel.from_frame(other), expected)


@pytest.mark.parametrize("kind", ["category", "string", "string[pyarrow]", object])
def test_names_of_series_may_be_of_any_type(kind):
    frame = long_frame([3, 2, 4])
    assert same(Panel.from_frame(frame.astype({"unique_id": kind})), Panel.from_frame(frame))
    assert Panel.from_frame(frame.assign(unique_id=[5, 5, 5, 3, 3, 4, 4, 4, 4])).ids == ("5", "3", "4")


@pytest.mark.parametrize("levels", [("Price", "Ticker"), (None, None)])
@pytest.mark.parametrize("swapped", [False, True])
def test_two_levels_of_columns_are_read_in_either_order(levels, swapped):
    prices = ["Close", "Volume"]
    columns = pd.MultiIndex.from_product([prices, ["AAPL", "600519.SS"]], names=levels)
    frame = pd.DataFrame(np.arange(20.0).reshape(5, 4), index=DAYS, columns=columns)
    frame.iloc[2, [1, 3]] = np.nan  # a holiday in Shanghai: no row there
    if swapped:
        frame = frame.swaplevel(axis=1)
    panel = Panel.from_frame(frame)
    assert (panel.ids, panel.columns, panel.offsets.tolist()) == (("AAPL", "600519.SS"), ("Close", "Volume"), [0, 5, 9])
    assert panel.one("AAPL").values.tolist() == [[0, 2], [4, 6], [8, 10], [12, 14], [16, 18]]
    assert panel.one("600519.SS").values.tolist() == [[1, 3], [5, 7], [13, 15], [17, 19]]
    assert panel.one("600519.SS").ds.tolist() == np.delete(NS, 2).tolist()


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "+05:30"])
def test_a_time_zone_is_kept(zone):
    index = pd.date_range("2024-03-08", periods=5, tz=zone)  # New York's clocks change on the 10th
    panel = Panel.from_frame(one(index=index))
    assert panel.ds.tolist() == index.as_unit("ns").asi8.tolist()
    assert panel.frame()["ds"].tolist() == index.tolist()
    assert panel.stamps_of(panel.ds).tolist() == index.tz_localize(None).tolist()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series([True, False, True]), [1, 0, 1]),
        (pd.Series([True, None, False], dtype="boolean"), [1, np.nan, 0]),
        (pd.Series([1, None, 3], dtype="Int64"), [1, np.nan, 3]),
        (pd.Series([1.5, None, 3], dtype="Float32"), [1.5, np.nan, 3]),
        (pd.Series([1, None, 3], dtype="int16[pyarrow]"), [1, np.nan, 3]),
        (pd.Series([1.5, None, 3], dtype="double[pyarrow]"), [1.5, np.nan, 3]),
        (pd.Series([True, None, False], dtype="bool[pyarrow]"), [1, np.nan, 0]),
        (pd.Series([1, 2, 3], dtype=pd.ArrowDtype(pa.decimal128(5, 1))), [1, 2, 3]),
        (pd.Series([1, 2, 3], dtype="uint8"), [1, 2, 3]),
        (pd.Series([1, 2, 3], dtype="float16"), [1, 2, 3]),
        (pd.Series([0, 0, 3], dtype="Sparse[float]"), [0, 0, 3]),
        (pd.Series([30, None, 10]).astype("category"), [30, np.nan, 10]),
        (pd.Series(["b", None, "a"]).astype("category"), [1, np.nan, 0]),
        (pd.Series([np.nan] * 3), [np.nan] * 3),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pd.Series) else "",
)
@pytest.mark.parametrize("reverse", [False, True], ids=["sorted", "backward"])
def test_every_dtype_that_means_numbers_becomes_numbers(column, expected, reverse):
    index = pd.RangeIndex(3)[:: -1 if reverse else 1]
    panel = Panel.from_frame(pd.DataFrame({"y": column.array}, index=index))
    np.testing.assert_array_equal(panel.values[:, 0], np.float32(expected[:: -1 if reverse else 1]))


def test_categories_that_are_words_say_which_numbers_they_became():
    panel = Panel.from_frame(pd.DataFrame({"weather": pd.Categorical(["rain", "clear"])}))
    assert panel.notes == ("Column 'weather' holds categories; they became numbers: clear, rain = 0, 1, ...",)


def test_a_number_too_large_for_float32_is_infinite_without_a_warning():
    assert Panel.from_frame(pd.DataFrame({"y": [1e300, -1e300, 1.0]})).values[:, 0].tolist() == [np.inf, -np.inf, 1]


def test_one_row_is_a_panel():
    panel = Panel.from_frame(one([1.0], DAYS[:1]))
    assert (len(panel), str(panel)) == (1, "1 series, 1 rows, columns y, freq D, 2024-01-01 .. 2024-01-01")


def test_chosen_columns_make_text_in_others_no_error():
    frame = one().assign(note="fine", z=2.0)
    assert Panel.from_frame(frame, columns=["z", "y", "z"]).columns == ("z", "y")


def test_unit_calendar_and_notes_come_with_the_frame():
    frame = one()
    frame.attrs.update(unit="dollars", calendar="XNYS", notes=["Read well."], unique_id="goog")
    panel = Panel.from_frame(frame)
    assert (panel.unit, panel.calendars[0].code, panel.notes, panel.ids) == (
        "dollars",
        "XNYS",
        ("Read well.",),
        ("goog",),
    )
    assert Panel.from_frame(frame, freq="D").calendars[0].code == "D"
    assert Panel.from_frame(frame, calendar={"goog": "XLON"}).calendars[0].code == "XLON"


def test_series_on_different_exchanges_share_a_panel():
    calendars = Panel.from_frame(long_frame([30, 30, 30]), calendar={"a": "XNYS", "b": "XSHG"}).calendars
    assert [calendar.code for calendar in calendars] == ["XNYS", "XSHG", "h"]


# The order of rows


@given(counts=st.lists(st.integers(1, 12), min_size=1, max_size=4), random=st.randoms(use_true_random=False))
def test_shuffled_rows_give_the_panel_of_sorted_rows(counts, random):
    frame = long_frame(counts)
    order = list(range(len(frame)))
    random.shuffle(order)
    expected, shuffled = Panel.from_frame(frame, freq="h"), Panel.from_frame(frame.iloc[order], freq="h")
    assert same(expected, shuffled)
    assert expected.fingerprint() == shuffled.fingerprint()


@given(order=st.permutations(range(12)))
def test_rows_of_the_same_stamp_keep_their_order(order):
    frame = pd.DataFrame({"ds": [n // 3 for n in range(12)], "y": np.arange(12.0)}).iloc[list(order)]
    panel = Panel.from_frame(frame)
    assert panel.values[:, 0].tolist() == frame.sort_values("ds", kind="stable")["y"].tolist()


def test_more_rows_than_a_block_are_read_as_in_one(monkeypatch):
    frame = long_frame([7, 5, 9]).sample(frac=1, random_state=0)
    expected = Panel.from_frame(frame)
    monkeypatch.setattr("pipelines.layouts.BLOCK", 4)
    monkeypatch.setattr("pipelines.ordering.BLOCK", 4)
    panel = Panel.from_frame(frame)
    assert (panel.ids, panel.notes) == (expected.ids, expected.notes)
    assert same(panel, expected)


def test_more_series_than_sixteen_bits_count_are_kept_apart():
    S = 2**16 + 10
    frame = pd.DataFrame({"unique_id": np.arange(S), "ds": 0, "y": np.arange(S, dtype=float)}).iloc[::-1]
    panel = Panel.from_frame(frame)
    assert panel.offsets.tolist() == list(range(S + 1))
    assert [int(name) for name in panel.ids] == panel.values[:, 0].astype(int).tolist()


def test_a_clock_that_jumps_back_is_noted_with_how_far_and_where():
    index = pd.to_datetime(["2024-01-01 01:00", "2024-01-01 02:00", "2024-01-01 01:05", "2024-01-01 02:05"])
    assert Panel.from_frame(one(np.arange(4.0), index), freq="5min").notes == (
        "The clock jumps back once between successive rows (first by 00:55:00, from 2024-01-01 02:00:00 to "
        "2024-01-01 01:05:00); the rows were sorted by stamp.",
    )


def test_mixed_series_are_noted_and_sorted_rows_are_not():
    frame = long_frame([3, 3])
    assert Panel.from_frame(frame).notes == ()
    assert Panel.from_frame(frame.sort_values("ds", kind="stable")).notes == (
        "The rows of the series were mixed; they were put one series after the other.",
    )


# What is refused, and the way out


def mixed(*stamps):
    return pd.DataFrame({"ds": pd.Series(stamps, dtype=object), "y": np.arange(float(len(stamps)))})


@pytest.mark.parametrize(
    "frame",
    [
        mixed(pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-01-02", tz="Asia/Tokyo")),
        mixed(pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-01-02")),
        mixed("2024-01-01T00:00+01:00", "2024-01-02T00:00+02:00"),
        mixed(*map(str, pd.date_range("2024-03-30", periods=3, tz="Europe/Berlin"))),
    ],
    ids=["two zones", "one without", "texts", "a clock change"],
)
def test_mixed_time_zones_are_refused_and_the_advice_mends_them(frame):
    with pytest.raises(DataError, match="The stamps of column 'ds' mix time zones"):
        Panel.from_frame(frame)
    stamps = pd.to_datetime(frame["ds"], utc=True, format="ISO8601").dt.tz_convert("Europe/Berlin")
    assert Panel.from_frame(frame.assign(ds=stamps)).calendars[0].zone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"y": []}), "at least one row. Received: an empty frame"),
        (pd.DataFrame(), "at least one row. Received: an empty frame"),
        (pd.DataFrame({"ds": DAYS}), "at least one column of values"),
        ([1.0, 2.0], "must come as a pandas DataFrame. Received: list"),
        (one().assign(note="text"), r"column 'note' of dtype (str|object), such as 'text'"),
        (one().assign(note=pd.Series("text", DAYS, "string[pyarrow]")), "column 'note' of dtype string"),
        (one().assign(day=DAYS), r"column 'day' of dtype datetime64\[\w+\]"),
        (one().assign(z=1j), "column 'z' of dtype complex128"),
        (one().assign(note=pd.Series([None] * 5, DAYS, object)), "column 'note' of dtype object, such as None"),
        (pd.DataFrame([[1.0, 2.0]], columns=["y", "y"]), "names must differ. Received more than once: y"),
        (pd.DataFrame([[1.0, 2.0]], columns=[1, "1"]), "names must differ. Received more than once: 1"),
        (one(index=DAYS[:4].append(pd.DatetimeIndex([pd.NaT]))), "Received 1 empty ones in the index"),
        (pd.DataFrame({"ds": [None, pd.NaT], "y": 1.0}), "Received 2 empty ones in column 'ds'"),
        (pd.DataFrame({"ds": pd.Series([1, None], dtype="Int64"), "y": 1.0}), "Received 1 empty ones in column 'ds'"),
        (one(index=np.arange(5) + 0.5), "the index of dtype float64"),
        (one(index=list("abcde")), r"starting \['a', 'b'\].*`time_col`"),
        (one(index=pd.MultiIndex.from_product([["a"], DAYS])), r"index of 2 levels.*reset_index\(\)"),
        (long_frame([2]).assign(unique_id=["a", None]), "Received none in column 'unique_id', row 1"),
        (pd.DataFrame({"unique_id": [1, "1"], "ds": 0, "y": 1.0}), "both 1 and '1'"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(frame, message):
    with pytest.raises(DataError, match=message):
        Panel.from_frame(frame)


@pytest.mark.parametrize("dates", [["3000-01-01", "3000-01-02"], ["1000-01-01", "2024-01-01"]])
def test_dates_that_nanoseconds_cannot_reach_are_refused(dates):
    with pytest.raises(DataError, match="between the years 1678 and 2261"):
        Panel.from_frame(one([1.0, 2.0], pd.DatetimeIndex(np.array(dates, "M8[s]"))))
    assert len(Panel.from_frame(one([1.0, 2.0], pd.DatetimeIndex(np.array(["1678-01-01", "2261-12-31"], "M8[s]")))))


@pytest.mark.parametrize("where", ["index", "column"])
def test_a_wide_matrix_is_recognised_and_dates_as_text_are_not_taken_for_one(where):
    wide = pd.DataFrame(np.ones((5, 30))).add_prefix("V").set_index(pd.Index([f"H{n}" for n in range(5)], name="V0"))
    with pytest.raises(DataError, match=r'looks like the wide matrix of M4.*layout="wide"'):
        Panel.from_frame(wide if where == "index" else wide.drop(columns="V0").reset_index())
    dated = wide.set_index(pd.Index([str(day.date()) for day in DAYS]))
    assert Panel.from_frame(dated).ds.tolist() == NS.tolist()


def test_other_than_two_levels_of_columns_are_refused():
    columns = pd.MultiIndex.from_tuples([("a", "b", "c")])
    with pytest.raises(DataError, match="Received: 3 levels"):
        Panel.from_frame(pd.DataFrame([[1.0]], columns=columns))


@pytest.mark.parametrize("option", ["id_col", "time_col"])
def test_a_column_that_does_not_exist_is_named_with_its_neighbours(option):
    with pytest.raises(UnknownName, match=rf"`{option}`.* is called 'uniqueid'. Did you mean 'unique_id'\?"):
        Panel.from_frame(long_frame([3]), **{option: "uniqueid"})
    with pytest.raises(UnknownName, match=r"No column is called 'x'. Choose from: y, z"):
        Panel.from_frame(long_frame([3]), columns=["x"])


def test_freq_and_calendar_exclude_each_other_and_integers_have_neither():
    with pytest.raises(ConfigError, match="`freq` or `calendar`, not both"):
        Panel.from_frame(one(), freq="D", calendar="XNYS")
    with pytest.raises(ConfigError, match=r"Integer stamps have no freq or calendar. Received: 'D'"):
        Panel.from_frame(pd.DataFrame({"y": [1.0]}), freq="D")


def test_stamps_without_a_common_step_ask_for_freq():
    stamps = pd.to_datetime("2024-01-01") + pd.to_timedelta([0, 1, 9, 20, 50, 51, 107, 300], unit="h")
    with pytest.raises(DataError, match=r"series 'series' have no common step.*`freq`"):
        Panel.from_frame(one(np.arange(8.0), stamps))
    assert Panel.from_frame(one(np.arange(8.0), stamps), freq="h").calendars[0].code == "h"


def test_a_year_of_plain_dates_needs_no_option():
    days = [datetime.date(2023, 1, 1) + datetime.timedelta(n) for n in range(365)]
    assert str(Panel.from_frame(pd.DataFrame({"ds": days, "y": 1.0}))).endswith("freq D, 2023-01-01 .. 2023-12-31")
