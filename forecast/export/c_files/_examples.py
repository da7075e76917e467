"""The example at the top of model.h: how a program runs the file, one text for each way in which state is kept.

windowed    Reset, all rows at once, Invoke
streaming   Reset once; then a row, Invoke; a row, Invoke; ...
step        states to zero; then a row and the states, Invoke, the new states; ...
"""

from ._shape import File

START = """\
#include <cstdint>
#include <cstring>

#include "metadata.h"
#include "model.h"
#include "resolver.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace fm = forecast_model;  // and fm::tflm is TFLite Micro, of any age
using Interpreter = fm::tflm::MicroInterpreter;

Interpreter* start() {
  alignas(16) static std::uint8_t arena[fm::ARENA];
  static fm::Resolver resolver;
  if (!fm::add_ops(resolver)) return nullptr;
  static Interpreter interpreter(fm::tflm::GetModel(fm::g_model), resolver, arena, sizeof(arena));
  return static_cast<int>(interpreter.AllocateTensors()) == 0 ? &interpreter : nullptr;
}
"""

WINDOWED = """\
// rows: fm::kRows x fm::kFeatures raw values, oldest row first; values: fm::kForecastSize of them.
bool forecast(Interpreter& interpreter, const float* rows, MOREfloat* values) {
  interpreter.Reset();  // before EVERY window
  if (!fm::prepare(rows, static_cast<fm::Past*>(interpreter.input(fm::kPast)->data.data))) return false;
  FILL
  if (static_cast<int>(interpreter.Invoke()) != 0) return false;
  fm::finish(static_cast<const fm::Y*>(interpreter.output(fm::kY)->data.data), rows, values);
  return true;
}
"""

STREAMING = """\
// Call it for every row, oldest first, after interpreter->Reset() before the first; one after another in time.
// row: fm::kFeatures raw values; values: fm::kForecastSize of them, to be used after fm::kLookback rows.
bool forecast(Interpreter& interpreter, const float* row, MOREfloat* values) {
  if (!fm::prepare(row, static_cast<fm::Past*>(interpreter.input(fm::kPast)->data.data))) return false;
  FILL
  if (static_cast<int>(interpreter.Invoke()) != 0) return false;
  fm::finish(static_cast<const fm::Y*>(interpreter.output(fm::kY)->data.data), row, values);
  return true;
}
"""

STEP = """\
// rows: fm::kRows x fm::kFeatures raw values, oldest row first; values: fm::kForecastSize of them.
bool forecast(Interpreter& interpreter, const float* rows, float* values) {
  // The states need memory of their own: TFLite Micro may lay outputs over inputs.
  static unsigned char states[fm::kStateBytes];
  fm::start_states(states);
  const fm::Window window = fm::measure(rows);
  for (int t = 0; t < fm::kRows; ++t) {
    auto* past = static_cast<fm::Past*>(interpreter.input(fm::kPast)->data.data);
    if (!fm::prepare_row(window, rows + t * fm::kFeatures, past)) return false;
    for (int s = 0; s < fm::kStates; ++s) {
      const int at = fm::kStateAt[s], end = fm::kStateAt[s + 1];
      std::memcpy(interpreter.input(1 + s)->data.data, states + at, static_cast<std::size_t>(end - at));
    }
    if (static_cast<int>(interpreter.Invoke()) != 0) return false;
    for (int s = 0; s < fm::kStates; ++s) {
      const int at = fm::kStateAt[s], end = fm::kStateAt[s + 1];
      std::memcpy(states + at, interpreter.output(1 + s)->data.data, static_cast<std::size_t>(end - at));
    }
  }
  fm::finish(static_cast<const fm::Y*>(interpreter.output(fm::kY)->data.data), rows, values);
  return true;
}
"""


def example(file: File, arena: int | None) -> str:
    """Returns a program that compiles: `start` once, then `forecast`."""
    more, fill = "", []
    for name, values in (("known", "known"), ("static", "statics")):
        if name in file.places:
            more += f"const float* {values}, "
            title = name.title()
            tensor = f"static_cast<fm::{title}*>(interpreter.input(fm::k{title})->data.data)"
            fill.append(f"  if (!fm::prepare_{name}({values}, {tensor})) return false;\n")
    text = STEP if file.step else STREAMING if file.streaming else WINDOWED
    text = text.replace("MORE", more).replace("  FILL\n", "".join(fill))
    return START.replace("ARENA", "kArenaEstimateBytes" if arena is None else "kArenaBytes") + "\n" + text
