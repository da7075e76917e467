// A stand-in for the header of this name, for tests without TFLite Micro: an interpreter whose network is a function of
// the test. Its output i lies where its input i + 1 lies (and the last where the first does), since the real memory
// planner lays outputs over inputs, too: a program that reads or writes in the wrong order gets wrong numbers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

struct TfLiteTensor {
  union {
    void* data;
    float* f;
    std::int8_t* int8;
    std::int16_t* i16;
  } data;
};

STUB_BEGIN

class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroOpResolver&, std::uint8_t* arena, std::size_t bytes)
      : arena_bytes(arena == nullptr ? 0 : bytes) {
    for (std::size_t i = 0; i < kMost; ++i) tensors_[i].data.data = memory_[i];
  }

  TfLiteStatus AllocateTensors() { return arena_bytes > 0 ? kTfLiteOk : kTfLiteError; }
  TfLiteStatus Reset() {
    ++resets;
    return kTfLiteOk;
  }
  TfLiteStatus Invoke() {
    network(*this);
    ++invokes;
    return kTfLiteOk;
  }
  TfLiteTensor* input(std::size_t i) { return &tensors_[i]; }
  TfLiteTensor* output(std::size_t i) { return &tensors_[(i + 1) % inputs]; }

  std::size_t inputs = 1;                         // set by the test
  void (*network)(MicroInterpreter&) = nullptr;  // set by the test; reads all inputs before it writes an output
  std::size_t arena_bytes;
  int resets = 0;
  int invokes = 0;

 private:
  static constexpr std::size_t kMost = 4;
  alignas(16) unsigned char memory_[kMost][4096] = {};
  TfLiteTensor tensors_[kMost] = {};
};

STUB_END
