"""The fixed C++ of metadata.h: the arithmetic on both sides of an exported file, one text for all files.

Only constants differ between files, and `if constexpr` drops what a file does not need (no logarithm is linked where no
column has one). Numbers are float32 throughout, since many boards emulate double; the sums of a window therefore run
over differences from its first row, where few digits are lost. Rounding is to the nearest even number, as in numpy.
Parentheses around `min` and `max` keep out the macros of those names that some boards bring.
"""

ARITHMETIC = """\
// One number as a tensor holds it. Out of its range it is the nearest that is in it; NaN becomes the lowest.
template <typename T>
inline T put(float x, [[maybe_unused]] const Tensor& tensor) {
  if constexpr (std::is_same<T, float>::value) {
    return x;
  } else {
    const float low = static_cast<float>((std::numeric_limits<T>::min)());
    const float high = static_cast<float>((std::numeric_limits<T>::max)());
    const float q = nearbyintf(x / tensor.scale) + static_cast<float>(tensor.zero_point);
    return static_cast<T>(q > low ? (q < high ? q : high) : low);
  }
}

// The number that a tensor holds.
template <typename T>
inline float get(T q, [[maybe_unused]] const Tensor& tensor) {
  if constexpr (std::is_same<T, float>::value) {
    return q;
  } else {
    return static_cast<float>(static_cast<int>(q) - tensor.zero_point) * tensor.scale;
  }
}

inline bool is_finite(float x) { return fabsf(x) <= (std::numeric_limits<float>::max)(); }

// A raw value of column f, clipped, and as a logarithm where the column is one.
inline float tame(float raw, [[maybe_unused]] int f) {
  float v = raw;
  if constexpr (kClips) v = v < kClipLow[f] ? kClipLow[f] : (v > kClipHigh[f] ? kClipHigh[f] : v);
  if constexpr (kLogs) v = kLog1p[f] ? log1pf(v) : v;
  return v;
}

// What a window is normalised by; only columns that are centred use it.
struct Window {
  float centre[kFeatures];
  float spread[kFeatures];
};

// Returns the measure of a window: kRows x kFeatures raw values, oldest row first.
inline Window measure([[maybe_unused]] const float* rows) {
  Window window{};
  for (int f = 0; f < kFeatures; ++f) {
    window.spread[f] = 1.0f;
    if constexpr (kNormalize == Normalize::kLast) {
      window.centre[f] = tame(rows[(kRows - 1) * kFeatures + f], f);
    } else if constexpr (kNormalize == Normalize::kMeanStd) {
      const float first = tame(rows[f], f);
      float sum = 0.0f;
      for (int t = 0; t < kRows; ++t) sum += tame(rows[t * kFeatures + f], f) - first;
      const float mean = sum / static_cast<float>(kRows);  // of the differences
      float squares = 0.0f;
      for (int t = 0; t < kRows; ++t) {
        const float apart = (tame(rows[t * kFeatures + f], f) - first - mean) * kFactor[f];
        squares += apart * apart;
      }
      window.centre[f] = first + mean;
      window.spread[f] = sqrtf(squares / static_cast<float>(kRows) + kEpsilon);
    }
  }
  return window;
}

// A raw value of column f as the network sees it.
inline float scaled([[maybe_unused]] const Window& window, float raw, int f) {
  const float v = tame(raw, f);
  if constexpr (kNormalize != Normalize::kNone) {
    if (kCentred[f]) return (v - window.centre[f]) * kFactor[f] / window.spread[f];
  }
  return v * kFactor[f] + kShift[f];
}

// Writes one row of a window, kFeatures raw values, as the input tensor holds it.
// Returns false where a value is NaN or infinite, or has no logarithm: then no forecast means anything.
inline bool prepare_row(const Window& window, const float* row, Past* past) {
  bool fine = true;
  for (int f = 0; f < kFeatures; ++f) {
    const float x = scaled(window, row[f], f);
    fine = fine && is_finite(x);
    past[f] = put<Past>(x, kInputs[kPast]);
  }
  return fine;
}

// Writes kRows x kFeatures raw values, oldest row first, as the input tensor holds them; returns what prepare_row does.
inline bool prepare(const float* rows, Past* past) {
  const Window window = measure(rows);
  bool fine = true;
  for (int t = 0; t < kRows; ++t) {
    fine = prepare_row(window, rows + t * kFeatures, past + t * kFeatures) && fine;
  }
  return fine;
}

// What a forecast may be.
inline float bounded(float u) {
  if constexpr (kBounded) u = u < kLowest ? kLowest : (u > kHighest ? kHighest : u);
  return u;
}

// Writes the forecast in raw units, kForecastSize values, from the output tensor and the rows that it was made from.
inline void finish(const Y* y, [[maybe_unused]] const float* rows, float* forecast) {
  [[maybe_unused]] const Window window = measure(rows);
  constexpr int each = kQuantiles > 0 ? kQuantiles : 1;
  for (int i = 0; i < kForecastSize; ++i) {
    const int k = i / each % kTargets;
    float u = get(y[i], kOutputs[kY]);
    if constexpr (kPredictsReturns) {
      u = rows[(kRows - 1) * kFeatures + k] * (1.0f + u * kSigma[k]);
    } else {
      if constexpr (kNormalize != Normalize::kNone) {
        u = u * window.spread[k] / kFactor[k] + window.centre[k];
      } else {
        u = (u - kShift[k]) / kFactor[k];
      }
      if constexpr (kLogs) u = kLog1p[k] ? expm1f(u) : u;
    }
    forecast[i] = bounded(u);
  }
}"""

KNOWN = """\
// Writes what is known ahead, kKnownRows x kKnownColumns raw values: the last columns of all rows from the first of the
// window to the last that is forecast. Returns what prepare_row does.
inline bool prepare_known(const float* rows, Known* known) {
  bool fine = true;
  for (int i = 0; i < kKnownRows * kKnownColumns; ++i) {
    const int f = kFeatures - kKnownColumns + i % kKnownColumns;
    const float x = tame(rows[i], f) * kFactor[f] + kShift[f];
    fine = fine && is_finite(x);
    known[i] = put<Known>(x, kInputs[kKnown]);
  }
  return fine;
}"""

STATIC = """\
// Writes what never changes about a series, kStatics raw values. Returns what prepare_row does.
inline bool prepare_static(const float* values, Static* statics) {
  bool fine = true;
  for (int i = 0; i < kStatics; ++i) {
    const float x = (values[i] - kStaticLow[i]) / kStaticRange[i];
    fine = fine && is_finite(x);
    statics[i] = put<Static>(x, kInputs[kStatic]);
  }
  return fine;
}"""

OUTSIDE = """\
inline bool is_outside(float x, int f) { return x < kSeenLow[f] || x > kSeenHigh[f]; }

// Returns how many of a window's values lie outside what the network saw in training. More than a few, and the forecast
// is a guess about a world it has never met. Where the last value is strange, all others lie far from it: if they are
// fine beside the one before it, it counts alone.
inline int outside(const float* rows) {
  const Window window = measure(rows);
  int total = 0;
  for (int f = 0; f < kFeatures; ++f) {
    const bool from_last = kNormalize == Normalize::kLast && kCentred[f] && kRows > 1;
    const float before = from_last ? scaled(window, rows[(kRows - 2) * kFeatures + f], f) : 0.0f;
    int count = 0;
    int others = 1;
    for (int t = 0; t < kRows; ++t) {
      const float x = scaled(window, rows[t * kFeatures + f], f);
      if (is_outside(x, f)) ++count;
      if (t + 1 < kRows && is_outside(x - before, f)) ++others;
    }
    total += from_last && others < count ? others : count;
  }
  return total;
}"""

INTERVALS = """\
// Writes both ends of the interval of a level, 0 to kLevels - 1, around what finish() wrote: kHorizon x kTargets values
// each, around the quantile 0.5 where there are quantiles.
// rows: the last kLookback x kFeatures raw values, oldest row first; a streaming file needs them for this alone.
inline void interval(int level, const float* rows, const float* forecast, float* low, float* high) {
  for (int k = 0; k < kTargets; ++k) {
    float unit = kUsual[k];
    if constexpr (kLookback > 1) {
      float sum = 0.0f, weight = 0.0f;
      for (int t = 1; t < kLookback; ++t) {
        sum = kFade * sum + fabsf(rows[t * kFeatures + k] - rows[(t - 1) * kFeatures + k]);
        weight = kFade * weight + 1.0f;
      }
      unit = fmaxf(sum / weight, kQuiet * unit);
    }
    constexpr int each = kQuantiles > 0 ? kQuantiles : 1;
    for (int i = k; i < kHorizon * kTargets; i += kTargets) {
      const float middle = forecast[i * each + kMiddle];
      low[i] = bounded(middle + unit * kLowOffsets[level * kHorizon * kTargets + i]);
      high[i] = bounded(middle + unit * kHighOffsets[level * kHorizon * kTargets + i]);
    }
  }
}"""

STATES = """\
template <typename T>
inline void start_state(const Tensor& tensor, unsigned char* state) {
  const T zero = put<T>(0.0f, tensor);
  for (int i = 0; i < tensor.size; ++i) std::memcpy(state + static_cast<std::size_t>(i) * sizeof(T), &zero, sizeof(T));
}

// Fills a buffer of kStateBytes, all states one after the other, with what each is before the first row of a window.
inline void start_states(unsigned char* states) {
  for (int s = 0; s < kStates; ++s) {
    const Tensor& tensor = kInputs[1 + s];
    if (tensor.type == Type::kInt8) start_state<std::int8_t>(tensor, states + kStateAt[s]);
    if (tensor.type == Type::kInt16) start_state<std::int16_t>(tensor, states + kStateAt[s]);
    if (tensor.type == Type::kFloat32) start_state<float>(tensor, states + kStateAt[s]);
  }
}"""
