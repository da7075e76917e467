"""A panel keeps what it was given: in memory, on disk, in parts, and back as a frame."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.calendars import Calendar
from pipelines.errors import DataError, UnknownName
from pipelines.panel import Panel


def make(counts=(4, 3), start="2024-01-01", freq="D", **options):
    """Series a, b, ...: every value is its own row number."""
    stamps = [pd.date_range(start, periods=n, freq=freq) for n in counts]
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat([chr(97 + s) for s in range(len(counts))], counts),
            "ds": np.concatenate(stamps),
            "y": np.arange(float(sum(counts))),
            "z": -np.arange(float(sum(counts))),
        }
    )
    return Panel.from_frame(frame, freq=freq, **options)


def assert_equal(a, b):
    assert (a.ids, a.columns, a.calendars, a.unit, a.notes) == (b.ids, b.columns, b.calendars, b.unit, b.notes)
    for name in ("offsets", "ds", "values"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


# For people


def test_a_panel_explains_itself():
    assert str(make()) == "2 series, 7 rows, columns y, z, freq D, 2024-01-01 .. 2024-01-04"
    assert str(make([2], freq="h")) == "1 series, 2 rows, columns y, z, freq h, 2024-01-01 .. 2024-01-01 01:00:00"
    assert str(Panel.from_frame(pd.DataFrame({"y": [1.0, 2.0]}))) == (
        "1 series, 2 rows, columns y, freq integer steps, 0 .. 1"
    )


def test_a_frame_goes_through_a_panel_unchanged():
    panel = make([4, 3, 5])
    assert_equal(Panel.from_frame(panel.frame(), freq="D"), panel)
    assert panel.frame().columns.tolist() == ["unique_id", "ds", "y", "z"]


def test_series_of_several_zones_are_shown_each_by_its_own_clock():
    panel = make([1, 1], start="2024-01-01 12:00")
    zones = (Calendar("D", "America/New_York"), Calendar("D", "Asia/Tokyo"))
    frame = Panel(panel.ids, panel.offsets, panel.ds, panel.values, panel.columns, zones).frame()
    assert frame["ds"].tolist() == [pd.Timestamp("2024-01-01 07:00"), pd.Timestamp("2024-01-01 21:00")]


# Parts


def test_one_series_of_many_is_found_by_name():
    panel = make([4, 3]).one("b")
    assert (panel.ids, panel.offsets.tolist(), panel.values[:, 0].tolist()) == (("b",), [0, 3], [4, 5, 6])
    with pytest.raises(UnknownName, match=r"No series is called 'c'. Choose from: a, b"):
        make([4, 3]).one("c")


def test_series_are_taken_in_the_order_asked_for():
    panel = make([4, 3, 2]).take([2, 0])
    assert (panel.ids, panel.offsets.tolist()) == (("c", "a"), [0, 2, 6])
    assert panel.values[:, 0].tolist() == [7, 8, 0, 1, 2, 3]
    assert len(panel.take([])) == 0


def test_columns_are_selected_in_order():
    panel = make([2])
    assert panel.select(["z", "y"]).values.tolist() == [[0, 0], [-1, 1]]
    assert panel.select(["y", "z"]) is panel
    with pytest.raises(UnknownName, match=r"No column is called 'Y'. Did you mean 'y'"):
        panel.select(["Y"])


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=4), rows=st.integers(1, 12))
def test_the_tail_is_the_last_rows_of_each_series(counts, rows):
    panel = make(counts)
    tail = panel.tail(rows).frame()
    pd.testing.assert_frame_equal(tail, panel.frame().groupby("unique_id").tail(rows).reset_index(drop=True))


def test_until_cuts_each_series_before_a_row():
    panel = make([4, 3]).until(np.array([1, 6]))
    assert (panel.offsets.tolist(), panel.values[:, 0].tolist()) == ([0, 1, 3], [0, 4, 5])


def test_rows_to_come_are_empty_and_lie_on_the_calendar():
    panel = make([2, 3])
    longer, provisional = panel.extend(2)
    assert (longer.offsets.tolist(), provisional) == ([0, 4, 9], ())
    np.testing.assert_array_equal(longer.values[:, 0], [0, 1, np.nan, np.nan, 2, 3, 4, np.nan, np.nan])
    frame = longer.frame()
    for _, part in frame.groupby("unique_id"):
        assert part["ds"].tolist() == pd.date_range("2024-01-01", periods=len(part)).tolist()


def test_rows_beyond_what_an_exchange_knows_are_named():
    frame = pd.DataFrame({"unique_id": ["old", "new"], "ds": pd.to_datetime(["2020-01-02", "2090-01-03"]), "y": 1.0})
    _, provisional = Panel.from_frame(frame, calendar="XSHG").extend(2)
    assert provisional == ("new",)


# The same data


@given(random=st.randoms(use_true_random=False))
def test_the_fingerprint_is_of_the_data_and_not_of_the_order_of_rows(random):
    frame = make([4, 3, 5]).frame()
    order = list(range(len(frame)))
    random.shuffle(order)
    assert Panel.from_frame(frame.iloc[order], freq="D").fingerprint() == make([4, 3, 5]).fingerprint()


def test_the_fingerprint_moves_with_every_bit_of_the_data():
    frame = make([4, 3]).frame()
    changed = [
        frame,
        frame.assign(y=np.nextafter(frame["y"].to_numpy(np.float32), np.float32(99))),
        frame.assign(ds=frame["ds"] + pd.Timedelta("1ns")),
        frame.assign(unique_id=frame["unique_id"].replace("a", "c")),
        frame.assign(unique_id=list("aaabbbb")),
        frame.rename(columns={"y": "x"}),
        frame.iloc[:-1],
    ]
    assert len({Panel.from_frame(each, freq="D").fingerprint() for each in changed}) == len(changed)


# On disk


def test_a_saved_panel_is_mapped_and_equal(tmp_path):
    panel = make([4, 3], start="2024-03-09").select(["z", "y"])
    panel = Panel(*(getattr(panel, name) for name in ("ids", "offsets", "ds", "values", "columns")),
                  (Calendar("XNYS", "America/New_York"), Calendar("h")), "dollars", ("Read well.",))  # fmt: skip
    opened = Panel.open(panel.save(tmp_path / "deep/folder"))
    assert_equal(opened, panel)
    assert (panel.mapped, opened.mapped) == (False, True)
    assert opened.fingerprint() == panel.fingerprint()
    with pytest.raises(ValueError, match="read-only"):
        opened.values[0, 0] = 5


def test_a_mapped_panel_can_be_saved_over_itself(tmp_path):
    panel = make([40, 30])
    opened = Panel.open(panel.save(tmp_path))
    opened.save(tmp_path)
    assert_equal(opened, panel)
    assert_equal(Panel.open(tmp_path), panel)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ds.npy", "offsets.npy", "panel.json", "values.npy"]


def test_a_save_that_is_killed_leaves_no_panel_or_the_old_one(tmp_path, monkeypatch):
    make([4]).save(tmp_path)
    replaced = []

    def killed(source, target):
        replaced.append(target)
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        make([5]).save(tmp_path)
    with pytest.raises(DataError, match=r"Missing in .*: panel\.json"):
        Panel.open(tmp_path)


@pytest.mark.parametrize("name", ["panel.json", "offsets.npy", "ds.npy", "values.npy"])
def test_a_folder_with_a_file_missing_empty_or_cut_short_is_refused(tmp_path, name):
    path = make([400, 300]).save(tmp_path) / name
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"\0" * len(whole)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="The files of a saved panel must"):
            Panel.open(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=rf"Missing in .*: {name}\. Write it again with Panel\.save\."):
        Panel.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("offsets", np.array([0, 4, 8])),
        ("offsets", np.array([0, 7])),
        ("offsets", np.array([0, 9, 7])),
        ("offsets", np.array([1, 4, 7])),
        ("ds", np.arange(6)),
        ("ds", np.arange(7.0)),
        ("values", np.zeros((7, 3), np.float32)),
        ("values", np.zeros((6, 2), np.float32)),
    ],
)
def test_files_that_do_not_agree_are_refused(tmp_path, name, array):
    folder = make([4, 3]).save(tmp_path)
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(DataError, match="The files of a saved panel must agree"):
        Panel.open(folder)


def test_a_description_without_its_parts_is_refused(tmp_path):
    folder = make([4, 3]).save(tmp_path)
    about = json.loads((folder / "panel.json").read_text())
    for name in about:
        rest = {key: value for key, value in about.items() if key != name}
        (folder / "panel.json").write_text(json.dumps(rest))
        with pytest.raises(DataError, match=f"as Panel.save wrote them.*{name}"):
            Panel.open(folder)


def test_pickled_objects_in_a_saved_panel_are_refused(tmp_path):
    folder = make([4, 3]).save(tmp_path)
    np.save(folder / "values.npy", np.array([[print]], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"as Panel.save wrote them"):
        Panel.open(folder)
