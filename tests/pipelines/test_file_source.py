"""Files as people have them: real ones, and small ones with one thing wrong each."""

import csv
import gzip
import os
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from pipelines.errors import ConfigError, DataError, SourceError, UnknownName
from pipelines.sources import load

DAYS = "date,v\n2020-01-02,1\n2020-01-03,2\n"


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, name="prices.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(str(path), **options)

    return write_and_read


def notes(frame):
    return " ".join(frame.attrs["notes"])


def days(index):
    return [str(stamp.date()) for stamp in index]


def plainly(path):
    """Another way to the cells: the standard library's csv."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as lines:
        return list(csv.reader(lines))


# Real files


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "name", ["stocks/AAPL.csv.gz", "stocks/SPY.csv.gz", "stocks/wti-daily.csv.gz", "ett/ETTh1.csv.gz"]
)
def test_a_plain_file_gives_every_cell_and_every_date(shared_data, name):
    frame = load(str(shared_data / name))
    header, *rows = plainly(shared_data / name)
    assert [frame.index.name, *frame.columns] == header
    assert frame.to_numpy().tolist() == [[float(cell) for cell in row[1:]] for row in rows]
    assert [str(stamp)[: len(rows[0][0])] for stamp in frame.index] == [row[0] for row in rows]
    assert frame.attrs["notes"] == []


@pytest.mark.shared_data
def test_dates_written_as_integers_and_as_months_are_dates(shared_data):
    co2 = load(str(shared_data / "bench/co2.csv"))
    months = load(str(shared_data / "bench/AirPassengers.csv"))
    assert (days(co2.index[:2]), len(co2)) == (["1958-03-29", "1958-04-05"], 2284)
    assert days(months.index) == days(pd.date_range("1949-01", periods=144, freq="MS"))
    assert months.columns.tolist() == ["#Passengers"]


@pytest.mark.shared_data
def test_a_file_without_header_and_dates_counts_its_rows(shared_data):
    frame = load(str(shared_data / "bench/exchange_rate.csv.gz"))
    assert frame.columns.tolist() == [f"c{n}" for n in range(8)]
    assert frame.index.equals(pd.RangeIndex(7588))
    assert frame.iloc[0].tolist() == [0.7855, 1.611, 0.861698, 0.634196, 0.211242, 0.006838, 0.593, 0.525486]
    assert "no header" in notes(frame)


@pytest.mark.shared_data
def test_row_numbers_without_a_name_are_left_out_and_noted(shared_data):
    frame = load(str(shared_data / "sensor/occupancy.csv.gz"))
    assert frame.columns.tolist() == ["Temperature", "Humidity", "Light", "CO2", "HumidityRatio", "Occupancy"]
    assert (str(frame.index[0]), frame.iloc[0, 0]) == ("2015-02-04 17:51:00", 23.18)
    assert "row numbers" in notes(frame)


@pytest.mark.shared_data
def test_duplicate_stamps_and_columns_of_text_are_left_as_they_are(shared_data):
    frame = load(str(shared_data / "sensor/traffic_volume.csv.gz"))
    assert (len(frame), frame.index.name, int(frame.index.duplicated().sum())) == (48204, "date_time", 7629)
    assert frame["weather_main"].iloc[0] == "Clouds"
    assert frame["holiday"].isna().iloc[0]  # "None"
    assert frame["rain_1h"].max() == 9831.3


@pytest.mark.shared_data
def test_a_column_of_tickers_makes_a_long_frame(shared_data):
    frame = load(str(shared_data / "stocks/us_daily_6tickers.csv.gz"))
    assert frame.columns[:3].tolist() == ["unique_id", "ds", "Open"]
    assert sorted(frame["unique_id"].unique()) == ["AAPL", "AIG", "BAC", "IBM", "IWM", "SPY"]
    assert len(frame) == 34489
    assert "'Ticker' names the series" in notes(frame)


@pytest.mark.shared_data
def test_the_wide_layout_gives_every_value_of_every_row(shared_data):
    path = shared_data / "m4/Hourly-train.csv.gz"
    frame = load(f"{path}?layout=wide")
    expected = {row[0]: [float(cell) for cell in row[1:] if cell] for row in plainly(path)[1:]}
    assert len(expected) == 414
    for name, part in frame.groupby("unique_id"):
        assert part["y"].tolist() == expected[name]
        assert part["ds"].tolist() == list(range(len(part)))


@pytest.mark.shared_data
def test_the_wide_layout_is_recognised_and_its_option_named(shared_data):
    with pytest.raises(DataError, match=r"one series a row \(columns V2 to V49, no dates\)\. Say `layout='wide'`"):
        load(str(shared_data / "m4/Hourly-test.csv"))


# How text is written


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", ""),
        ("utf-8-sig", "byte order mark"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16 without a byte order mark"),
        ("gbk", "GB18030"),
        ("gb18030", "GB18030"),
    ],
)
def test_chinese_files_are_read_in_the_encodings_they_come_in(read, encoding, said):
    frame = read("日期,收盘,名称\n2020年1月2日,1.5,贵州茅台\n2020年1月3日,1.6,贵州茅台\n".encode(encoding))
    assert days(frame.index) == ["2020-01-02", "2020-01-03"]
    assert frame["收盘"].tolist() == [1.5, 1.6]
    assert frame["名称"].tolist() == ["贵州茅台"] * 2
    assert said in notes(frame)


@pytest.mark.parametrize("name", ["Größe", "Übertrag °C", "préféré", "Straße in Zürich", "année où"])
def test_western_files_fall_back_to_cp1252_and_say_so(read, name):
    frame = read(f"date;{name}\n2020-01-02;1\n2020-01-03;2\n".encode("cp1252"))
    assert frame.columns.tolist() == [name]
    assert "cp1252, the last resort. `encoding` names another." in notes(frame)


def test_a_first_foreign_character_far_down_is_still_read(read):
    frame = read(b"date,v,city\n" + b"2020-01-02,1,Bern\n" * 6000 + "2020-01-03,1,Zürich\n".encode("cp1252"))
    assert (len(frame), frame["city"].iloc[-1]) == (6001, "Zürich")
    assert "cp1252" in notes(frame)


def test_a_given_encoding_must_fit(read):
    with pytest.raises(
        DataError, match=r"must be text in utf-8\. Received: the bytes f6, .* Name the right `encoding`"
    ):
        read("date;Größe\n2020-01-02;1\n".encode("cp1252"), encoding="utf-8")


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
def test_the_delimiter_is_found_and_noted(read, mark, word):
    frame = read(DAYS.replace(",", mark), "prices.txt")
    assert frame["v"].tolist() == [1, 2]
    assert notes(frame) == f"Fields are separated by {word}."


def test_runs_of_blanks_separate_fields_when_asked(read):
    assert read("date v w\n2020-01-02   1 5\n2020-01-03 2    6\n", delimiter="space")["w"].tolist() == [5, 6]


def test_decimal_commas_and_grouping_dots_are_read_together(read):
    frame = read("Datum;Preis;Menge\n2020-01-02;1.234,50;7\n2020-01-03;12.345.678,25;8\n")
    assert frame["Preis"].tolist() == [1234.5, 12345678.25]
    assert "Decimal commas" in notes(frame)
    assert "Dots in column 'Preis' group thousands" in notes(frame)


def test_grouping_commas_are_read_where_another_number_shows_the_decimal_point(read):
    frame = read('date,v,w\n2020-01-02,"1,234",1.5\n2020-01-03,999,12.25\n')
    assert frame["v"].tolist() == [1234, 999]
    assert "Commas in column 'v' group thousands, as in '1,234'." in notes(frame)


def test_a_comma_that_may_mean_two_things_is_an_error_until_the_option_decides(read):
    text = 'date,v\n2020-01-02,"1,234"\n2020-01-03,"2,345"\n'
    with pytest.raises(DataError, match=r"'1,234' in prices.csv, which may be 1.234 or 1234.*Say `decimal=','`"):
        read(text)
    assert read(text, decimal=",")["v"].tolist() == [1.234, 2.345]
    assert read(text, decimal=".")["v"].tolist() == [1234, 2345]


def test_two_decimal_marks_in_one_file_are_an_error(read):
    with pytest.raises(DataError, match=r"one decimal mark\. Received: both '1,5' and '1\.5'"):
        read("date;v;w\n2020-01-02;1,5;1.5\n")


def test_a_decimal_comma_that_also_separates_fields_is_explained(read):
    with pytest.raises(DataError, match=r"1 names and 2 fields .* name the `delimiter` and the `decimal` mark"):
        read("v\n1,5\n1,7\n")


def test_compression_is_told_by_the_content_not_the_name(read):
    assert read(gzip.compress(DAYS.encode()))["v"].tolist() == [1, 2]


def test_comments_blank_lines_and_old_line_ends_are_no_rows(read):
    frame = read("# from the archive\n# of 2020\n\ndate,v\n2020-01-02,1\n\n2020-01-03,2\n,\n")
    assert frame["v"].tolist() == [1, 2]
    assert "start with '#' were left out: 2" in notes(frame)
    assert "without a single value were left out: 1" in notes(frame)
    assert read(DAYS.replace("\n", "\r"))["v"].tolist() == [1, 2]
    assert read(DAYS.replace("\n", "\r\n"))["v"].tolist() == [1, 2]


def test_a_delimiter_at_the_end_of_every_row_is_no_column(read):
    assert read("date,v\n2020-01-02,1,\n2020-01-03,2,\n").columns.tolist() == ["v"]


def test_what_pandas_writes_comes_back(read):
    frame = pd.DataFrame({"a": [0.5, 1.5], "b": [1.0, np.nan]}, index=pd.date_range("2020-01-02", periods=2))
    dates, counted = read(frame.to_csv()), read(frame.reset_index(drop=True).to_csv())
    assert days(dates.index) == ["2020-01-02", "2020-01-03"]
    for back in (dates, counted):
        np.testing.assert_array_equal(back.to_numpy(), frame.to_numpy())


@pytest.mark.parametrize(("header", "columns"), [(None, ["c0", "c1"]), ("true", ["2019", "2020"])])
def test_a_first_row_of_numbers_is_data_unless_the_option_says_header(read, header, columns):
    frame = read("2019,2020\n1,2\n3,4\n", header=header)
    assert frame.columns.tolist() == columns
    assert len(frame) == (3 if header is None else 2)


def test_common_spellings_of_missing_are_missing(read):
    frame = read("date,v\n2020-01-02,1\n2020-01-03,n/a\n2020-01-04,NULL\n2020-01-05,\n2020-01-06,2\n")
    np.testing.assert_array_equal(frame["v"], [1, np.nan, np.nan, np.nan, 2])


def test_true_and_false_are_one_and_zero(read):
    frame = read("date,promo\n2020-01-02,True\n2020-01-03,False\n2020-01-04,\n")
    np.testing.assert_array_equal(frame["promo"], [1, 0, np.nan])


# Stamps


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("2020-01-31 16:00", {}),
        ("2020/1/31 16:00", {}),
        ("2020-01-31T16:00:00.000", {}),
        ("20200131160000", {}),
        ("01/31/2020 16:00", {}),
        ("1/31/2020 4:00 PM", {}),
        ("31.01.2020 16:00", {"day_first": True}),
        ("31/1/20 16:00:00", {"day_first": "true"}),
        ("31-Jan-2020 16:00", {}),
        ("Jan 31 2020 16:00", {}),
    ],
)
def test_one_moment_written_in_many_ways(read, text, options):
    assert read(f"date,v\n{text},1\n", **options).index[0] == pd.Timestamp("2020-01-31 16:00")


@pytest.mark.parametrize(
    ("name", "text", "first"),
    [
        ("month", "1949-01", "1949-01-01"),
        ("date", "202003", "2020-03-01"),
        ("year", "1949", "1949-01-01"),
        ("quarter", "2020Q2", "2020-04-01"),
        ("月份", "2020年3月", "2020-03-01"),
        ("when", "2020-01-02", "2020-01-02"),
    ],
)
def test_months_quarters_and_years_stand_for_their_first_day(read, name, text, first):
    frame = read(f"{name},v\n{text},1\n")
    assert (frame.index.name, days(frame.index)) == (name, [first])


def test_blanks_and_single_digits_among_iso_stamps_are_read(read):
    frame = read("date,v\n2020-01-02 09:30, 1\n2020-01-02 10:30 ,2\n2020-01-02 9:45,3\n")
    assert [f"{stamp:%H:%M}" for stamp in frame.index] == ["09:30", "10:30", "09:45"]


def test_time_since_1970_is_utc(read):
    frame = read("timestamp,v\n1580428800000,1\n1580428860000,2\n")
    assert frame.index[0] == pd.Timestamp("2020-01-31", tz="UTC")
    assert "milliseconds since 1970" in notes(frame)


def test_plain_integers_in_a_column_called_ds_are_the_index(read):
    assert read("ds,v\n5,1\n6,2\n").index.tolist() == [5, 6]


def test_one_offset_is_kept_and_several_become_utc(read):
    one = read("date,v\n2020-02-28T10:00+01:00,1\n2020-02-29T10:00+01:00,2\n")
    two = read("date,v\n2020-02-28T10:00+01:00,1\n2020-06-28T10:00+02:00,2\n")
    assert one.index[0].utcoffset() == pd.Timedelta(hours=1)
    assert one.attrs["notes"] == []
    assert two.index.tolist() == [pd.Timestamp("2020-02-28 09:00Z"), pd.Timestamp("2020-06-28 08:00Z")]
    assert "several offsets from UTC (+01:00, +02:00)" in notes(two)


@pytest.mark.parametrize(
    "stamps", [("2020-02-28T10:00+01:00", "2020-02-29T10:00"), ("2020-02-28T10:00", "2020-02-29T10:00Z")]
)
def test_offsets_in_some_stamps_only_are_an_error(read, stamps):
    with pytest.raises(DataError, match=r"All stamps must say their offset from UTC, or none\. Received: '2020"):
        read(f"date,v\n{stamps[0]},1\n{stamps[1]},2\n")


def test_ambiguous_dates_are_read_month_first_with_a_note(read):
    text = "date,v\n01/02/2020,1\n02/02/2020,2\n"
    assert days(read(text).index) == ["2020-01-02", "2020-02-02"]
    assert "'01/02/2020' are read month first; `day_first`" in notes(read(text))
    assert days(read(text, day_first=True).index) == ["2020-02-01", "2020-02-02"]


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        ("30/12/2020", "31/12/2020", {}, r"'30/12/2020' in line 2 of .*only be day first\. Say `day_first=True`"),
        ("11/12/2020", "31/12/2020", {}, r"'31/12/2020' in line 3 of .*only be day first\. Say `day_first=True`"),
        (
            "11/12/2020",
            "12/31/2020",
            {"day_first": True},
            r"'12/31/2020' in line 3 .*month first\. Leave `day_first` out",
        ),
        (
            "12/31/2020",
            "31/12/2020",
            {},
            r"written alike\. Received: '31/12/2020' in line 3 .*the first is '12/31/2020'",
        ),
        ("2020-01-02", "01/03/2020", {}, r"written alike\. Received: '01/03/2020' in line 3"),
        ("2020-02-28", "2020-02-30", {}, r"must exist .*'2020-02-30' in line 3"),
        ("2020-02-28", "tomorrow", {}, r"'date' must hold dates\. Received: 'tomorrow' in line 3"),
        ("yesterday", "today", {}, r"'date' must hold dates\. Received: 'yesterday' in line 2"),
        ("2020-02-28", "", {}, r"Every row needs a stamp in column 'date'\. Received: none in line 3"),
    ],
)
def test_a_wrong_date_is_named_with_its_line(read, first, second, options, message):
    with pytest.raises(DataError, match=message):
        read(f"date,v\n{first},1\n{second},2\n", **options)


def test_the_line_of_an_error_counts_blank_lines_comments_and_line_ends_in_quotes(read):
    text = '# note\ndate,v,remark\n\n2020-01-02,1,"two\nlines"\n\n2020-01-03,-,x\n2020-01-04,2,y\n'
    assert text.split("\n")[6].startswith("2020-01-03")  # line 7
    with pytest.raises(DataError, match=r"Column 'v' must hold numbers\. Received: '-' in line 7 of prices\.csv"):
        read(text)


# Numbers


@pytest.mark.parametrize("rows", [3, 20_000])
def test_one_text_among_numbers_is_named_with_its_line(read, rows):
    text = "date,v\n" + "2020-01-02,1\n" * rows + "2020-01-03,oops\n"
    with pytest.raises(DataError, match=rf"Column 'v' .* Received: 'oops' in line {rows + 2} of .*leave it empty"):
        read(text)


def test_a_column_of_mostly_text_stays_text(read):
    frame = read("date,kind,v\n2020-01-02,rain,1\n2020-01-03,7,2\n2020-01-04,dry,3\n")
    assert frame["kind"].tolist() == ["rain", "7", "dry"]


def test_decimals_that_begin_far_down_are_read(read):
    frame = read("date,rain\n" + "2020-01-02,0\n" * 20_000 + "2020-01-03,0.5\n")
    assert frame["rain"].iloc[-1] == 0.5


# Many series


def test_a_folder_or_glob_is_many_series_named_by_their_files(read, tmp_path):
    read(DAYS, "BRK.B.csv")
    read(gzip.compress(DAYS.replace(",2\n", ",5\n").encode()), "AAPL.csv.gz")
    (tmp_path / "README.txt").write_text("not data")
    for locator in (tmp_path, tmp_path / "*.csv*"):
        frame = load(str(locator))
        assert frame.columns.tolist() == ["unique_id", "ds", "v"]
        assert frame["unique_id"].tolist() == ["AAPL", "AAPL", "BRK.B", "BRK.B"]
        assert frame["v"].tolist() == [1, 5, 1, 2]
        assert days(frame["ds"]) == ["2020-01-02", "2020-01-03"] * 2


def test_files_without_dates_are_counted_each(read, tmp_path):
    read("v\n1\n2\n", "a.csv")
    read("v\n3\n4\n5\n", "b.csv")
    assert load(str(tmp_path))["ds"].tolist() == [0, 1, 0, 1, 2]


def test_notes_of_many_files_say_how_many_they_hold_for(read, tmp_path):
    for name in ("a.csv", "b.csv"):
        read(DAYS.replace(",", ";"), name)
    read(DAYS, "c.csv")
    assert load(str(tmp_path)).attrs["notes"] == ["2 of 3 files: Fields are separated by semicolons."]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("date,w\n2020-01-02,1\n", r"same columns\. Received: w in b\.csv, v in a\.csv"),
        ("date,v\n2020-01-02,up\n", r"numbers in all files or in none\. Received: 'v' holds text in b\.csv"),
        ("v\n1\n", r"must have dates\. Received: b\.csv and a\.csv differ"),
        ("date,v\n2020-01-02T00:00Z,1\n", r"must have a time zone\. Received: b\.csv and a\.csv differ"),
    ],
)
def test_a_file_that_differs_from_the_others_is_named(read, tmp_path, other, message):
    read(DAYS, "a.csv")
    read(other, "b.csv")
    with pytest.raises(DataError, match=message):
        load(str(tmp_path))


def test_two_files_of_one_name_are_an_error(read, tmp_path):
    read(DAYS, "a.csv")
    read(DAYS, "a.tsv", delimiter=",")
    with pytest.raises(DataError, match=r"a series of its own\. Received: .*a\.csv, .*a\.tsv, all 'a'"):
        load(str(tmp_path))


def test_files_of_several_time_zones_become_utc(read, tmp_path):
    read("date,v\n2020-01-02T00:00+01:00,1\n", "a.csv")
    read("date,v\n2020-01-02T00:00+02:00,1\n", "b.csv")
    frame = load(str(tmp_path))
    assert frame["ds"].tolist() == [pd.Timestamp("2020-01-01 23:00Z"), pd.Timestamp("2020-01-01 22:00Z")]
    assert "several time zones" in notes(frame)


def test_files_that_name_their_series_keep_those_names(tmp_path):
    long = pd.DataFrame({"unique_id": ["x", "y"], "ds": pd.to_datetime(["2020-01-02"] * 2), "v": [1.0, 2.0]})
    long.to_parquet(tmp_path / "part-0.parquet")
    long.assign(unique_id=["z", "w"]).to_parquet(tmp_path / "part-1.parquet")
    assert load(str(tmp_path))["unique_id"].tolist() == ["x", "y", "z", "w"]


def test_ids_keep_their_zeros_and_may_be_called_na(read):
    frame = read("日期,股票代码,收盘\n" + "".join(f"2020-01-0{d},{i},1\n" for d in (2, 3) for i in ("000001", "NA")))
    assert frame["unique_id"].tolist() == ["000001", "NA"] * 2


def test_an_id_column_is_taken_only_where_stamps_come_back(read):
    text = "date,symbol,v\n2020-01-02,a,1\n2020-01-03,b,1\n2020-01-04,a,2\n"
    assert "`id_col` says otherwise" in notes(read(text))
    assert read(text)["symbol"].tolist() == ["a", "b", "a"]
    assert read(text, id_col="symbol")["unique_id"].tolist() == ["a", "b", "a"]
    both = "date,symbol,v\n2020-01-02,a,1\n2020-01-02,b,1\n2020-01-03,a,2\n"
    assert "unique_id" in read(both)
    assert "unique_id" not in read(both, layout="single")


def test_a_long_table_without_dates_counts_each_series(read):
    frame = read("store,v\na,1\nb,2\na,3\n", id_col="store")
    assert frame["ds"].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "date,v\n2020-01-02,1\n",
            {"layout": "long"},
            r"needs a column that names the series\. Received: columns date, v",
        ),
        ("date,shop,v\n2020-01-02,,1\n2020-01-02,b,1\n", {"id_col": "shop"}, r"needs an id in column 'shop'.*line 2"),
        ("day,shop,ds\n2020-01-02,a,1.5\n", {"id_col": "shop", "time_col": "day"}, r"a column 'ds' of values"),
    ],
)
def test_long_tables_with_a_hole_are_explained(read, text, options, message):
    with pytest.raises(DataError, match=message):
        read(text, **options)


def test_a_wide_table_keeps_inner_gaps_and_drops_padding(read):
    frame = read("id,a,b,c\nA,1,,3\nB,5,,\nC\nD,,7,\n", layout="wide")
    assert frame["unique_id"].tolist() == ["A", "A", "A", "B", "D", "D"]
    assert frame["ds"].tolist() == [0, 1, 2, 0, 0, 1]
    np.testing.assert_array_equal(frame["y"], [1, np.nan, 3, 5, np.nan, 7])
    assert "Rows without any value were left out: C." in notes(frame)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,a,b\nA,1,2\nB,x,3\n", r"'a' must hold numbers\. Received: 'x' in line 3"),
        ("id,a,b\nA,1,2\nA,2,3\n", r"must be one row\. Received: 'A' again in line 3"),
        ("id,a,b\nA,,\n", r"must hold values"),
    ],
)
def test_a_wide_table_with_something_wrong_is_explained(read, text, message):
    with pytest.raises(DataError, match=message):
        read(text, layout="wide")


def test_a_wide_header_may_be_longer_than_the_sample_that_is_looked_at(read):
    header = ",".join(["id", *(f"V{n}" for n in range(10_000))])
    full = ",".join(map(str, range(10_000)))
    frame = read(f"{header}\nA,{full}\nB,5{',' * 9_999}\n", layout="wide")
    assert frame["y"].tolist() == [*range(10_000), 5]


# Parquet


def test_a_parquet_file_keeps_its_dates_and_zone(tmp_path):
    index = pd.date_range("2020-03-07", periods=3, freq="D", tz="America/New_York", name="when")
    pd.DataFrame({"a": [1, 2, 3], "b": [0.5, None, 1.5]}, index=index).to_parquet(tmp_path / "x.parquet")
    frame = load(str(tmp_path / "x.parquet"))
    assert (frame.index == index).all()
    assert (str(frame.index.tz), frame.index.name) == ("America/New_York", "when")
    assert frame["a"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "stamps",
    [
        pd.to_datetime(["2020-01-02", "2020-01-03"]).date,
        ["2020-01-02", "2020-01-03"],
        [20200102, 20200103],
        pd.PeriodIndex(["2020-01-02", "2020-01-03"], freq="D"),
    ],
    ids=["dates", "texts", "integers", "periods"],
)
def test_a_parquet_file_may_write_dates_in_many_types(tmp_path, stamps):
    pd.DataFrame({"v": [1.0, 2.0], "date": stamps}).to_parquet(tmp_path / "x.pq")
    assert days(load(str(tmp_path / "x.pq")).index) == ["2020-01-02", "2020-01-03"]


def test_decimals_and_stored_indices_of_parquet_are_numbers_and_columns(tmp_path):
    index = pd.MultiIndex.from_product([["a", "b"], pd.date_range("2020-01-02", periods=1)], names=["unique_id", "ds"])
    pd.DataFrame({"v": [Decimal("1.25"), None]}, index=index).to_parquet(tmp_path / "x.parquet")
    frame = load(str(tmp_path / "x.parquet"))
    assert frame["unique_id"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(frame["v"], [1.25, np.nan])


@pytest.mark.parametrize("content", [b"nothing of the kind", b"PAR1 and then nothing of the kind"])
def test_a_broken_parquet_file_is_a_source_error(read, content):
    with pytest.raises(SourceError, match=r"A Parquet file must be whole\. Received: .*x\.parquet: "):
        read(content, "x.parquet")


# What is no table, and what is not there


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"must hold rows\. Received: prices\.csv is empty"),
        (b"\n \n", r"must hold rows\. Received: prices\.csv is empty"),
        (b"date,v\n", r"only a header in prices\.csv"),
        (b"date\n2020-01-02\n", r"a column of values\. Received: only 'date'"),
        (b"date,v,v\n2020-01-02,1,2\n", r"names must differ\. Received: 'v' 2 times"),
        (b"date,v\n2020-01-02,1\x00\n", r"must not hold NUL bytes\. Received: one among the first"),
        (b"date,v\n" + b"2020-01-02,1\n" * 9000 + b"\x00", r"NUL bytes\. Received: one at byte 117,007"),
        (b"x" * 200_000, r"Received: line 1 of prices\.csv, which is not: field larger"),
        (b"date,v\n2020-01-02,1\n2020-01-03,1,2,3\n", r"at most 2 fields.*line 3 of prices\.csv"),
        (b"date,v\n" + b"2020-01-02,1\n" * 9 + b"2020-01-03,1,2,3\n", r"at most 2 fields.*line 11 of prices\.csv"),
        (b"date,v\n" + b"2020-01-02,1\n" * 9 + b"2020-01-03,1,2\n", r"at most 2 fields.*line 11 of prices\.csv"),
        (b'date,v\n2020-01-02,1\n2020-01-03,"2\n2020-01-04,3\n', r"Quotes must come in pairs"),
        (b"PK\x03\x04 a workbook", r"must be CSV, TSV or Parquet.*Save it as CSV"),
    ],
)
def test_content_that_is_no_table_is_a_data_error(read, content, message):
    with pytest.raises(DataError, match=message):
        read(content)


def test_a_torn_download_is_a_source_error(read):
    with pytest.raises(SourceError, match=r"must be whole\. Received: .* breaks off or is damaged .* Fetch it again"):
        read(gzip.compress(DAYS.encode())[:-12], "prices.csv.gz")


def test_what_is_not_there_is_a_source_error_that_knows_its_neighbours(read, tmp_path):
    read(DAYS, "prices.csv")
    (tmp_path / "empty").mkdir()
    for locator, message in {
        "price.csv": r"No file is called '.*price\.csv'\. Did you mean 'prices\.csv'\?",
        "emty/x.csv": r"No folder is called '.*emty'\. Did you mean 'empty'\?",
        "*.parquet": r"A glob must fit at least one file",
        "empty": r"A folder must hold data files .* with 0 entries",
    }.items():
        with pytest.raises(SourceError, match=message):
            load(str(tmp_path / locator))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_source_error(read, tmp_path):
    read(DAYS)
    (tmp_path / "prices.csv").chmod(0)
    with pytest.raises(SourceError, match="must be readable"):
        load(str(tmp_path / "prices.csv"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "ab"}, r"`delimiter` must be one character.* Received: 'ab'"),
        ({"encoding": "utf9"}, r"`encoding` must be one that Python knows.* Received: 'utf9'"),
        ({"decimal": ";"}, r"`decimal` must be one of '\.' or ','\. Received: ';'"),
        ({"layout": "tall"}, r"`layout` must be one of 'single', 'long' or 'wide'\. Received: 'tall'"),
        ({"day_first": "maybe"}, r"`day_first` must be true or false\. Received: 'maybe'"),
        ({"day_frist": "true"}, r"has no option 'day_frist'\. Did you mean 'day_first'\?"),
    ],
)
def test_a_wrong_option_is_a_config_error(read, options, message):
    with pytest.raises(ConfigError, match=message):
        read(DAYS, **options)


@pytest.mark.parametrize("option", ["time_col", "id_col"])
def test_a_column_that_does_not_exist_is_named_with_its_neighbours(read, option):
    with pytest.raises(UnknownName, match=r"No column is called 'dat'\. Did you mean 'date'\? Choose from: date, v"):
        read(DAYS, **{option: "dat"})


def test_every_message_says_what_must_hold_what_was_received_and_what_to_do(read):
    for content in (b"", b"date,v\n", b"date,v\nfoo,1\n", b"date,v\n2020-01-02,1\n2020-01-03,2\n2020-01-04,x\n"):
        with pytest.raises(DataError) as caught:
            read(content)
        assert re.fullmatch(r".* (must|needs) .*\. Received: .*\. \w+ .*\.", str(caught.value))


def test_a_text_among_numbers_is_kept_for_whoever_asks(read):
    content = "unique_id,ds,y\nA,2024-01-01,1.5\nA,2024-01-02,broken\nB,2024-01-01,\nB,2024-01-02,4\n"
    with pytest.raises(DataError, match="'broken' in line 3"):
        read(content)
    assert read(content, text="keep")["y"].fillna("none").tolist() == [1.5, "broken", "none", 4.0]
