// A stand-in for the header of this name, for tests without TFLite Micro.
#pragma once

namespace tflite {

struct Model {};

inline const Model* GetModel(const void* buffer) { return static_cast<const Model*>(buffer); }

}  // namespace tflite
