"""The C++ that goes with an exported file does what the file's metadata says, on a compiler and against numpy."""

import itertools
import math
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.export.c_files import METHODS, Golden, Tensor, c_files, unsupported
from forecast.export.c_files._text import comment, number, string
from pipelines.errors import ExportError

STUB = Path(__file__).parents[1] / "data/tflite_micro_stub"
COMPILER = shutil.which(os.environ.get("CXX", "g++"))
FLAGS = (
    "-std=c++17 -O1 -Wall -Wextra -Werror -pedantic -Wconversion -Wshadow -Wdouble-promotion -fno-exceptions -fno-rtti"
)
EVIL = ['*/ evil "x"\n', "back\\", "??/", '"; } int main() { return 1; } //', "\u202e\x00\ud800ö温度", "%s%n", "/*"]
WINDOWS, LOOKBACK, HORIZON = 3, 12, 2
OPS = ["QUANTIZE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "FULLY_CONNECTED", "FULLY_CONNECTED", "DEQUANTIZE"]

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler: install g++, or let CXX name one")


@dataclass(frozen=True)
class Case:
    """One exported file: three columns (two targets that are levels, one feature that is none), random constants."""

    name: str
    dtype: str = "int8"
    normalize: str = "last"
    predict: str = "level"
    where: str | None = "host"
    layout: str = "fused"
    kind: str = "windowed"
    known: bool = False
    static: bool = False
    quantiles: tuple[float, ...] = ()
    clip: bool = True
    log1p: tuple[bool, ...] = (False, True, False)
    names: tuple[str, ...] = ("Close", "Volume", "rsi")
    arena: int | None = 4576
    above: float = 0.0  # what raw values of the window lie above
    made: dict = field(default_factory=dict, compare=False)


CASES = [
    Case(f"{normalize}-{predict}-{dtype}", dtype, normalize, predict)
    for normalize, predict, dtype in itertools.product(
        ["last", "mean_std", "none"], ["level", "return"], ["int8", "float32"]
    )
]
CASES += [
    Case("known-static-quantiles", known=True, static=True, quantiles=(0.1, 0.5, 0.9)),
    Case("known-static-float", "float32", known=True, static=True, clip=False),
    Case("int16", "int16", "mean_std", log1p=(False,) * 3, clip=False),
    Case("step", normalize="mean_std", layout="step"),
    Case("streaming", normalize="none", predict="return", kind="streaming"),
    Case("scaled-in-the-file", "float32", where="file"),
    Case("a-model-of-the-user", where=None, arena=None),
    Case("high-prices", "float32", "mean_std", clip=False, log1p=(False,) * 3, above=1e6),
    Case("evil", names=tuple(EVIL[:3])),
]


def sees(raw, s, columns=slice(None), normalised=True):
    """What the network sees of raw rows `(L, F)`, in float64."""
    low, high, log1p, factor, shift, levels = (
        None if s[key] is None else np.asarray([math.nan if v is None else v for v in s[key]])[columns]
        for key in ("clip_low", "clip_high", "log1p", "factor", "shift", "levels")
    )
    v = np.array(raw, float)
    v = v if low is None else np.fmax(v, low)
    v = v if high is None else np.fmin(v, high)
    v[:, log1p] = np.log1p(v[:, log1p])
    mean, spread = v.mean(axis=0), np.sqrt(v.var(axis=0) * factor**2 + s["epsilon"])
    plain = v * factor + shift
    if s["normalize"] == "last" and normalised:
        return np.where(levels, (v - v[-1]) * factor, plain), v, spread
    if s["normalize"] == "mean_std" and normalised:
        return np.where(levels, (v - mean) * factor / spread, plain), v, spread
    return plain, v, spread


def answers(y, raw, s):
    """The forecast in raw units that an answer `(H, K, ...)` of the network means."""
    k = y.shape[1]
    shape = (1, k) + (1,) * (y.ndim - 2)
    if s["predict"] == "return":
        return np.asarray(raw, float)[-1, :k].reshape(shape) * (1 + y * np.reshape(s["sigma"], shape))
    _, v, spread = sees(raw, s)
    factor, shift = np.reshape(s["factor"][:k], shape), np.reshape(s["shift"][:k], shape)
    if s["normalize"] == "last":
        u = y / factor + v[-1, :k].reshape(shape)
    elif s["normalize"] == "mean_std":
        u = y * spread[:k].reshape(shape) / factor + v.mean(axis=0)[:k].reshape(shape)
    else:
        u = (y - shift) / factor
    return np.expm1(u, where=np.reshape(s["log1p"][:k], shape), out=u.copy())


def exact(x, tensor):
    """What a tensor would hold if it could hold fractions; an integer tensor holds the nearest integer."""
    if tensor.dtype == "float32":
        return np.asarray(x, float)
    limits = np.iinfo(tensor.dtype)
    return np.clip(np.asarray(x) / tensor.scale + tensor.zero_point, limits.min, limits.max)


def held(x, tensor):
    q = exact(x, tensor)
    return q.astype("float32") if tensor.dtype == "float32" else np.rint(q).astype(tensor.dtype)


def tensor(name, shape, dtype, scale=0.05, zero_point=-7):
    return Tensor(name, shape, dtype) if dtype == "float32" else Tensor(name, shape, dtype, scale, zero_point)


def make(case):
    """Returns the files of a case, and keeps what they were made of in `case.made`."""
    rng = np.random.default_rng(sum(case.name.encode()))
    past_rows = {"step": None, "streaming": 1}.get(case.kind if case.layout != "step" else "step", LOOKBACK)
    shape = (1, 3) if past_rows is None else (1, past_rows, 3)
    past = tensor("past", shape, case.dtype, 0.05 if case.where == "host" else 1.0)
    inputs, outputs = [past], [tensor("y", (1, HORIZON, 2, *([3] if case.quantiles else [])), case.dtype, 0.013, 5)]
    if case.known:
        inputs.append(tensor("known", (1, LOOKBACK + HORIZON, 1), case.dtype, 0.02))
    if case.static:
        inputs.insert(0, tensor("static", (1, 2), case.dtype, 0.01))
    if case.layout == "step":
        states = [tensor("h", (1, 3), "int8"), tensor("c", (1, 2), "int16", 0.01, 3), tensor("f", (1, 2), "float32")]
        inputs, outputs = [past, *states], [outputs[0], *(replace(state, name=f"new {state.name}") for state in states)]
    scaling = {
        "where": case.where,
        "clip_low": [20, None, 0] if case.clip else None,
        "clip_high": [180.0, 150.0, None] if case.clip else None,
        "log1p": list(case.log1p),
        "factor": [0.021, 0.8 if case.log1p[1] else 0.013, 0.011],
        "shift": [-0.31, 0.12, -0.5],
        "normalize": case.normalize,
        "levels": [True, True, False],
        "epsilon": 1e-5,
        "predict": case.predict,
        "sigma": [0.013, 0.4],
        "usual": [9.0, 700.0],
        "static_low": [3.0, -1.0],
        "static_range": [7.0, 2.5],
    }
    raw = {"past": (rng.uniform(10, 200, (WINDOWS, LOOKBACK, 3)) + case.above).astype("float32")}
    if case.known:
        raw["known"] = rng.uniform(0, 90, (WINDOWS, LOOKBACK + HORIZON, 1)).astype("float32")
    if case.static:
        raw["static"] = rng.uniform(-3, 12, (WINDOWS, 2)).astype("float32")
    nothing = {"normalize": "none", "log1p": [False] * 3, "clip_low": None, "clip_high": None, "factor": [1.0] * 3}
    nothing |= {"shift": [0.0] * 3, "levels": [True] * 3, "epsilon": 0.0, "predict": "level"}
    s = scaling if case.where == "host" else nothing
    seen = {"past": np.stack([sees(window, s)[0] for window in raw["past"]])}
    if case.known:
        seen["known"] = np.stack([sees(window, s, slice(2, 3), False)[0] for window in raw["known"]])
    if case.static:
        seen["static"] = (raw["static"] - np.array(s["static_low"])) / np.array(s["static_range"])
    by_name = {one.name: one for one in inputs}
    y = held(rng.normal(0, 0.5, (WINDOWS, *outputs[0].shape[1:])), outputs[0])
    real = y.astype(float) if case.dtype == "float32" else (y.astype(float) - 5) * 0.013
    forecast = np.stack([answers(*both, s) for both in zip(real, raw["past"], strict=True)])
    about = {
        "format": 1,
        "digest": "ab" * 32,
        "name": "".join(EVIL) if case.name == "evil" else "goog/1",
        "model": "lstm",
        "versions": {"keras-forecast": "0.1.0", "keras": EVIL[0] if case.name == "evil" else "3.15.1"},
        "bundle": None,
        "layout": case.layout,
        "quantize": "float32" if case.dtype == "float32" else "int8",
        "io": case.dtype,
        "state": {"kind": case.kind, "means": EVIL[3] if case.name == "evil" else "A sentence about state."},
        **{"lookback": LOOKBACK, "gap": 0, "horizon": HORIZON, "targets": list(case.names[:2])},
        **{"unit": EVIL[4] if case.name == "evil" else "dollars", "quantiles": list(case.quantiles), "series": None},
        "dates": {"freq": "h", "calendar": None, "zone": "UTC", "seconds": 3600},
        "columns": [
            {
                "name": name,
                "kind": "target" if n < 2 else "past",
                "level": n < 2,
                "means": EVIL[n] if case.name == "evil" else "As it is.",
            }
            for n, name in enumerate(case.names)
        ],
        "inputs": [{"name": one.name, "shape": list(one.shape)} for one in inputs],
        "outputs": [{"name": one.name, "shape": list(one.shape)} for one in outputs],
        "scaling": scaling if case.where else None,
        "range": dict(zip(["low", "high"], np.percentile(seen["past"], [9, 83], axis=(0, 1)).tolist(), strict=True)),
        "missing": {"policy": "last", "limit": 24},
        "step": {"states": [list(one.shape) for one in inputs[1:]]} if case.layout == "step" else None,
        "intervals": None,
    }
    if case.where and not case.quantiles:
        low, high = (sign * rng.uniform(1, 3, (2, HORIZON, 2)) for sign in (-1, 1))
        about["intervals"] = {"levels": [80.0, 97.5], "low": low.tolist(), "high": high.tolist()}
        about["intervals"] |= {"fade": 0.9, "quiet": 0.1}
    golden = Golden(raw, {name: held(x, by_name[name]) for name, x in seen.items()}, y, forecast)
    model = rng.bytes(997 + len(case.name))
    case.made.update(inputs=inputs, outputs=outputs, about=about, golden=golden, model=model, seen=seen)
    return c_files(model, about, OPS, inputs, outputs, golden, case.arena)


def example(files):
    """The program in the comment at the top of model.h."""
    top = files["model.h"].split("\n//\n", 2)[2].split("#pragma once")[0]
    return "\n".join(line.removeprefix("//").removeprefix("     ") for line in top.splitlines()) + "\n"


PROGRAM = """
#define forecast_model case_@ID@
#include "@ID@/model.cc"
#include "@ID@/golden.h"
#include "@ID@/resolver.h"
namespace program_@ID@ {
@EXAMPLE@
using namespace forecast_model;

int window = 0;

template <typename T>
void show(const char* what, const T* values, int size) {
  std::printf("@ID@ %s", what);
  for (int i = 0; i < size; ++i) std::printf(" %.9g", static_cast<double>(values[i]));
  std::printf("\\n");
}

template <typename T>
void next(Interpreter& interpreter, int s, T* state) {  // half of the state, and the first value of the row
  const T* before = static_cast<const T*>(interpreter.input(static_cast<std::size_t>(s))->data.data);
  show(("state" + std::to_string(s)).c_str(), before, kInputs[s].size);
  const auto x = *static_cast<const Past*>(interpreter.input(0)->data.data);
  for (int i = 0; i < kInputs[s].size; ++i) state[i] = static_cast<T>(before[i] / 2 + static_cast<T>(x));
}

void network(Interpreter& interpreter) {
  show("past", static_cast<const Past*>(interpreter.input(kPast)->data.data), kInputs[kPast].size);
  @NETWORK@
  std::memcpy(interpreter.output(kY)->data.data, kGoldenY[window], sizeof(kGoldenY[window]));
}

void run() {
  unsigned long long hash = 14695981039346656037ULL;
  for (unsigned char byte : g_model) hash = (hash ^ byte) * 1099511628211ULL;
  std::printf("@ID@ model %llu %zu\\n", hash, kModelBytes);
  const std::size_t facts[] = {reinterpret_cast<std::uintptr_t>(g_model) % 16, kModelBytes, @ARENA@};
  show("facts", facts, 3);
  for (const char* name : kColumnNames) {
    std::printf("@ID@ name");
    for (; *name; ++name) std::printf(" %d", static_cast<unsigned char>(*name));
    std::printf("\\n");
  }
  Interpreter* interpreter = start();
  if (interpreter == nullptr) return;
  interpreter->network = network;
  interpreter->inputs = sizeof(kInputs) / sizeof(kInputs[0]);
  for (window = 0; window < kGoldenWindows; ++window) {
    const float* raw = kGoldenPastRaw[window];
    show("raw", raw, kGoldenRows * kFeatures);
    float values[kForecastSize];
    @CALLS@
    show("forecast", values, kForecastSize);
    const int agrees = agree(values, kGoldenForecast[window], kForecastSize, 1e-4f);
    show("agrees", &agrees, 1);
    @OUTSIDE@
    @INTERVALS@
  }
  const int counts[] = {interpreter->resets, interpreter->invokes};
  show("counts", counts, 2);
  Y worse[sizeof(kGoldenY[0]) / sizeof(Y)];
  std::memcpy(worse, kGoldenY[0], sizeof(worse));
  for (int more = 1; more <= 3; ++more) {
    worse[1] = static_cast<Y>(worse[1] + @STEP@);
    const int agrees = agree(worse, kGoldenY[0], sizeof(worse) / sizeof(Y), kTolerance);
    show("worse", &agrees, 1);
  }
  float rows[kGoldenRows * kFeatures];
  std::memcpy(rows, kGoldenPastRaw[0], sizeof(rows));
  rows[0] = NAN;
  Past none[kGoldenRows * kFeatures];
  const int fine = prepare(rows, none);
  show("fine", &fine, 1);
}
}  // namespace program_@ID@
#undef forecast_model
"""


INTERVALS = """
    for (int level = 0; level < kLevels; ++level) {
      float low[kForecastSize], high[kForecastSize];
      interval(level, raw, kGoldenForecast[window], low, high);
      show("low", low, kForecastSize);
      show("high", high, kForecastSize);
    }
"""


def program(n, case, files):
    more = "".join(
        f"kGolden{name.title()}Raw[window], " for name in ("known", "static") if name in case.made["golden"].raw
    )
    calls = f"if (!forecast(*interpreter, raw, {more}values)) return;"
    if case.kind == "streaming":
        calls = (
            "interpreter->Reset();\n"
            "for (int t = 0; t < kGoldenRows; ++t) if (!forecast(*interpreter, raw + t * kFeatures, values)) return;"
        )
    network = "".join(
        f'show("{name}", static_cast<const {name.title()}*>(interpreter.input(k{name.title()})->data.data), '
        f"kInputs[k{name.title()}].size);"
        for name in ("known", "static")
        if name in case.made["golden"].raw
    )
    if case.layout == "step":
        kinds = ["std::int8_t", "std::int16_t", "float"]
        network = "".join(f"{kind} s{s}[3]; next(interpreter, {s}, s{s});" for s, kind in enumerate(kinds, start=1))
        network += "".join(
            f"std::memcpy(interpreter.output({s})->data.data, s{s}, kInputs[{s}].size * sizeof({kind}));"
            for s, kind in enumerate(kinds, start=1)
        )
    outside = 'const int far = outside(raw); show("outside", &far, 1);' if "int outside(" in files["metadata.h"] else ""
    texts = {
        "EXAMPLE": "\n".join(line for line in example(files).splitlines() if not line.startswith("#include")),
        "NETWORK": network,
        "CALLS": calls,
        "OUTSIDE": outside if case.kind == "windowed" else "",
        "INTERVALS": INTERVALS if case.made["about"]["intervals"] else "",
        "ARENA": "kArenaBytes" if case.arena else "kArenaEstimateBytes",
        "STEP": "0.01f" if case.dtype == "float32" else "1",
        "ID": str(n),
    }
    text = PROGRAM
    for name, value in texts.items():
        text = text.replace(f"@{name}@", value)
    return text


def compile_and_run(folder, source, *more):
    (folder / "main.cc").write_text(source, encoding="utf-8")
    command = [COMPILER, *FLAGS.split(), f"-I{STUB}", f"-I{folder}", *more, "main.cc", "-o", "main"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[:4000]
    return subprocess.run([folder / "main"], capture_output=True, text=True, check=True, timeout=60).stdout


def write(folder, files, age=0):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        os.utime(folder / name, (age, age))  # gcc takes files of equal text and age for one


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the programs of all cases print, by case: `{what: [line of numbers, ...]}`. One compilation for all."""
    folder = tmp_path_factory.mktemp("c_files")
    source = "#include <cmath>\n#include <cstdio>\n#include <string>\n"
    source += '#include "tensorflow/lite/micro/micro_interpreter.h"\n'
    for n, case in enumerate(CASES):
        files = make(case)
        write(folder / str(n), files, age=n)
        source += program(n, case, files)
    calls = "".join(f"program_{n}::run();" for n in range(len(CASES)))
    lines = compile_and_run(folder, source + f"int main() {{ {calls} return 0; }}\n").splitlines()
    found = {case.name: {} for case in CASES}
    for line in lines:
        n, what, *values = line.split()
        found[CASES[int(n)].name].setdefault(what, []).append(values)
    return found


def table(lines):
    return np.array(lines, float)


def windows(case):
    return range(WINDOWS), case.made["golden"], {one.name: one for one in case.made["inputs"]}


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@needs_compiler
@every_case
def test_the_bytes_in_the_program_are_the_file_and_lie_where_tflite_micro_wants_them(printed, case):
    hashed = 14695981039346656037
    for byte in case.made["model"]:
        hashed = (hashed ^ byte) * 1099511628211 % 2**64
    size = len(case.made["model"])
    assert printed[case.name]["model"] == [[str(hashed), str(size)]]
    misaligned, length, arena = map(int, printed[case.name]["facts"][0])
    assert (misaligned, length) == (0, size)
    assert "alignas(16) const unsigned char g_model" in make(case)["model.cc"]  # compilers may align more than asked
    assert arena % 16 == 0
    assert arena >= 1.2 * case.arena if case.arena else arena > 2 * size


@needs_compiler
@every_case
def test_the_file_gets_the_tensors_that_the_metadata_means(printed, case):
    _, golden, tensors = windows(case)
    for name, x in case.made["seen"].items():
        wanted = exact(x, tensors[name]).reshape(WINDOWS, -1)
        got = table(printed[case.name][name]).reshape(WINDOWS, -1)
        if tensors[name].dtype == "float32":
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-3 if case.above else 1e-5)
        else:  # the nearest integer, but either one where a fraction is all but a half
            np.testing.assert_allclose(got, wanted, rtol=0, atol=0.51)
            np.testing.assert_allclose(got, golden.tensors[name].reshape(WINDOWS, -1), rtol=0, atol=1)
            assert (got == np.rint(wanted)).mean() > 0.95
        assert np.ptp(wanted) > 0.5


@needs_compiler
@every_case
def test_the_answers_of_the_file_become_the_forecast_in_raw_units(printed, case):
    forecast = case.made["golden"].forecast.reshape(WINDOWS, -1)
    np.testing.assert_allclose(table(printed[case.name]["forecast"]), forecast, rtol=2e-5, atol=1e-5)
    assert printed[case.name]["agrees"] == [["1"]] * WINDOWS


@needs_compiler
@every_case
def test_raw_values_are_written_so_that_every_bit_comes_back(printed, case):
    raw = case.made["golden"].raw["past"].reshape(WINDOWS, -1)
    np.testing.assert_array_equal(table(printed[case.name]["raw"]).astype("float32"), raw)


@needs_compiler
@every_case
def test_state_is_reset_before_every_window(printed, case):
    resets, invokes = map(int, printed[case.name]["counts"][0])
    one_by_one = case.layout == "step" or case.kind == "streaming"
    assert resets == (0 if case.layout == "step" else WINDOWS)
    assert invokes == WINDOWS * (LOOKBACK if one_by_one else 1)


@needs_compiler
def test_the_states_of_a_step_file_start_at_zero_and_come_back_as_they_were(printed):
    case = next(case for case in CASES if case.layout == "step")
    x = table(printed["step"]["past"]).reshape(WINDOWS, LOOKBACK, 3)[:, :, 0]
    for s, one in enumerate(case.made["inputs"][1:], start=1):
        got = table(printed["step"][f"state{s}"]).reshape(WINDOWS, LOOKBACK, one.size)
        for window in range(WINDOWS):
            state = np.full(one.size, one.zero_point, float)
            for t in range(LOOKBACK):
                np.testing.assert_array_equal(got[window, t].astype("float32"), state.astype("float32"))
                state = state / 2 if one.dtype == "float32" else np.trunc(state / 2)
                state = state + x[window, t]
                if one.dtype == "int8":
                    state = state.astype(int).astype("int8").astype(float)


@needs_compiler
@every_case
def test_a_missing_value_is_no_input(printed, case):
    assert printed[case.name]["fine"] == [["0"]]


@needs_compiler
@every_case
def test_golden_answers_may_differ_by_two_steps_and_no_more(printed, case):
    wanted = ["0", "0", "0"] if case.dtype == "float32" else ["1", "1", "0"]
    assert [line[0] for line in printed[case.name]["worse"]] == wanted


@needs_compiler
@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.where == "host" and case.kind == "windowed"],
    ids=lambda case: case.name,
)
def test_a_window_unlike_those_of_training_is_told(printed, case):
    limits = case.made["about"]["range"]

    def strange(values, f):
        return sum(not limits["low"][f] <= value <= limits["high"][f] for value in values)

    outside, blamed = [], 0
    for window in case.made["seen"]["past"]:
        counts = [strange(window[:, f], f) for f in range(3)]
        for f in range(2) if case.normalize == "last" else ():  # the last value alone, if the rest is fine without it
            alone = 1 + strange(window[:-1, f] - window[-2, f], f)
            blamed += alone < counts[f]
            counts[f] = min(counts[f], alone)
        outside.append(sum(counts))
    np.testing.assert_array_equal(table(printed[case.name]["outside"]).ravel(), outside)
    assert sum(outside) > 10
    assert blamed or case.normalize != "last"


@needs_compiler
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.where and not case.quantiles], ids=lambda one: one.name
)
def test_intervals_lie_around_a_forecast_as_far_as_its_window_moves(printed, case):
    about, golden = case.made["about"], case.made["golden"]
    got = {side: table(printed[case.name][side]).reshape(WINDOWS, 2, HORIZON, 2) for side in ("low", "high")}
    for n, (window, forecast) in enumerate(zip(golden.raw["past"].astype(float), golden.forecast, strict=True)):
        fading = [0.9**age for age in reversed(range(LOOKBACK - 1))]
        changes = [[abs(b - a) for a, b in itertools.pairwise(window[:, k])] for k in range(2)]
        moves = [np.average(of, weights=fading) for of in changes]
        unit = np.maximum(moves, np.multiply(0.1, [9.0, 700.0]))
        assert unit[0] == moves[0]
        assert unit[1] == 70.0 or moves[1] > 70  # the second target stands stiller than it may
        for side in ("low", "high"):
            wanted = forecast + unit * np.array(about["intervals"][side])
            np.testing.assert_allclose(got[side][n], wanted, rtol=1e-5, atol=1e-3)


@needs_compiler
@every_case
def test_names_from_data_stay_names(printed, case):
    wanted = [list(name.encode("utf-8", "surrogatepass").split(b"\0")[0]) for name in case.names]
    assert [[int(v) for v in line] for line in printed[case.name]["name"]] == wanted


@needs_compiler
@pytest.mark.parametrize("age", [[], ["-DSTUB_IN_MICRO"]], ids=["tflite", "tflite-micro"])
@pytest.mark.parametrize("name", ["last-level-int8", "step"])
def test_the_example_compiles_as_it_is_and_two_files_may_include_the_headers(tmp_path, age, name):
    files = make(next(case for case in CASES if case.name == name))
    write(tmp_path, files)
    other = '#include "golden.h"\n#include "resolver.h"\nint other() { return forecast_model::kGoldenWindows; }\n'
    write(tmp_path, {"other.cc": other})
    source = example(files) + "int other();\nint main() { return start() != nullptr && other() == 3 ? 0 : 1; }\n"
    compile_and_run(tmp_path, source, *age, "other.cc", "model.cc")


@needs_compiler
def test_every_operator_of_the_table_is_registered_by_a_method_that_exists(tmp_path):
    case = CASES[0]
    make(case)
    made = case.made
    ops = [*METHODS, *METHODS]
    write(tmp_path, c_files(made["model"], made["about"], ops, made["inputs"], made["outputs"], made["golden"], 1000))
    source = """
        #include <cstdio>
        #include "resolver.h"
        int main() {
          static forecast_model::Resolver resolver;
          const int fine = forecast_model::add_ops(resolver);
          std::printf("%d %u", fine, resolver.GetRegistrationLength());
          return 0;
        }
        """
    assert compile_and_run(tmp_path, source) == f"1 {len(METHODS)}"


def test_the_table_names_builtin_operators_only():
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    assert set(METHODS) <= set(vars(schema.BuiltinOperator))


def test_the_table_has_every_operator_of_the_runtime_that_is_installed():
    runtime = pytest.importorskip("tflite_micro")
    library = next(Path(runtime.__file__).parent.rglob("_runtime*"))
    kernels = set(re.findall(rb"\d\dRegister_([A-Z0-9_]+)Ev\0", library.read_bytes()))
    found = {name.decode().replace("L2NORM_REF", "L2_NORMALIZATION") for name in kernels}
    if "FULLY_CONNECTED" not in found:
        pytest.skip("this build of tflite-micro has no names inside")
    assert set(METHODS) <= found
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    assert found & set(vars(schema.BuiltinOperator)) <= set(METHODS)


def test_an_operator_that_tflite_micro_lacks_is_named_with_a_way_out():
    assert unsupported(["TILE", "ADD", "TILE", "CUSTOM"]) == ["TILE", "CUSTOM"]
    case = CASES[0]
    make(case)
    made = case.made
    with pytest.raises(ExportError, match=r"Received: TILE, which it lacks\. Export with another layout"):
        c_files(made["model"], made["about"], [*OPS, "TILE"], made["inputs"], made["outputs"], made["golden"], None)


@pytest.mark.parametrize("value", [1e39, 1e-50, math.nan])
def test_a_constant_that_32_bits_cannot_hold_is_refused(value):
    case = replace(CASES[0], made={})
    make(case)
    about = case.made["about"] | {"scaling": case.made["about"]["scaling"] | {"factor": [value, 1, 1]}}
    made = case.made
    with pytest.raises(ExportError, match=r"'Close', 'Volume', 'rsi' must be a number that 32 bits can hold"):
        c_files(made["model"], about, OPS, made["inputs"], made["outputs"], made["golden"], None)


def test_metadata_that_contradicts_the_tensors_is_a_bug_and_not_a_file():
    case = replace(CASES[0], made={})
    make(case)
    made = case.made
    with pytest.raises(ValueError, match="disagree about 'y': 4 and 6"):
        c_files(
            made["model"], made["about"] | {"horizon": 3}, OPS, made["inputs"], made["outputs"], made["golden"], None
        )
    step = replace(next(case for case in CASES if case.layout == "step"), made={})
    make(step)
    made = step.made
    outputs = [made["outputs"][0], replace(made["outputs"][1], zero_point=0), *made["outputs"][2:]]
    with pytest.raises(ValueError, match="disagree about 'h'"):
        c_files(made["model"], made["about"], OPS, made["inputs"], outputs, made["golden"], None)


def test_headers_say_how_state_is_kept_and_warn_of_streaming():
    texts = {}
    for case in CASES:
        words = " ".join(make(case)["metadata.h"].replace("//", "").split())
        texts[case.name] = words
    assert "before EVERY window" in texts["last-level-int8"]
    assert "start_states() before each window" in texts["step"]
    assert "WARNING: builds of TFLite Micro with CMSIS-NN kernels keep no state between calls" in texts["streaming"]
    assert "WARNING" not in texts["last-level-int8"]
    assert "The file scales: raw units go into it" in texts["scaled-in-the-file"]
    assert "The file takes and answers what the Keras model did" in texts["a-model-of-the-user"]
    assert "Nobody has measured the arena" in texts["a-model-of-the-user"]


@given(st.floats(width=32, allow_nan=False))
def test_a_number_is_a_literal_that_means_it(value):
    text = number(value)
    if math.isinf(value):
        assert text.lstrip("-") == "std::numeric_limits<float>::infinity()"
    else:
        assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?f", text)
        assert re.search(r"[.e]", text)
        assert np.float32(text[:-1]) == np.float32(value)


@given(st.text(st.characters() | st.sampled_from('\\/*?"\n\r\0')))
def test_a_string_holds_any_text_and_never_ends_early(text):
    literal = string(text)
    assert re.fullmatch(r'"(?:[ !#->@-\[\]-~]|\\[0-7]{3})*"', literal)
    bytes_of = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), literal[1:-1]).encode("latin-1")
    assert bytes_of == text.encode("utf-8", "surrogatepass")


@given(st.text(st.characters() | st.sampled_from('\\/*?"\n\r\0')))
def test_a_comment_stays_a_comment(text):
    lines = comment(text, text).split("\n")
    assert all(line.startswith("//") and (line + " ").isprintable() for line in lines)
    assert not any(line.endswith("\\") or "??" in line or "*/" in line or "/*" in line for line in lines)
    assert all(len(line) <= 120 for line in lines)
