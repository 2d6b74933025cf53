// bfloat16, float16 and float8 (e4m3fn) as the bit patterns that DLPack tensors hold, to and from float.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

inline float bits_to_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint32_t float_to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// bfloat16 is the upper half of a float; the lower half is rounded to nearest, ties to even.
struct BFloat16 {
  uint16_t bits;

  operator float() const { return bits_to_float(static_cast<uint32_t>(bits) << 16); }

  static BFloat16 from(float value) {
    uint32_t wide = float_to_bits(value);
    uint32_t rounded = (wide + 0x7FFF + ((wide >> 16) & 1)) >> 16;
    uint32_t quiet_nan = (wide >> 16) | 0x40;
    return {static_cast<uint16_t>(value == value ? rounded : quiet_nan)};
  }
};

struct Float16 {
  uint16_t bits;

  // Shifted into place, the exponent is too small by 112; multiplying by 2^112 also normalises subnormals.
  operator float() const {
    uint32_t magnitude = static_cast<uint32_t>(bits & 0x7FFF) << 13;
    float scaled = bits_to_float(magnitude) * 0x1p112f;
    uint32_t finite = float_to_bits(scaled);
    uint32_t special = magnitude | 0x7F800000;
    uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
    return bits_to_float(((bits & 0x7C00) == 0x7C00 ? special : finite) | sign);
  }

  static Float16 from(float value) {
    uint32_t wide = float_to_bits(value);
    uint32_t sign = (wide >> 16) & 0x8000;
    uint32_t magnitude = wide & 0x7FFFFFFF;
    uint32_t normal = (magnitude - (112u << 23) + 0xFFF + ((magnitude >> 13) & 1)) >> 13;
    // Adding 1/2 leaves the ten mantissa bits of a subnormal half at the end of the float, already rounded.
    uint32_t subnormal = float_to_bits(bits_to_float(magnitude) + 0.5f) - float_to_bits(0.5f);
    uint32_t result = magnitude < 0x38800000 ? subnormal : normal;
    if (magnitude >= 0x477FF000) result = 0x7C00;  // 65520 and above round to infinity
    if (magnitude > 0x7F800000) result = 0x7E00;
    return {static_cast<uint16_t>(sign | result)};
  }
};

// float8 e4m3fn: four exponent bits with bias 7, no infinity, NaN is all ones. 256 values fit a table.
inline const std::array<float, 256>& float8_values() {
  static const std::array<float, 256> values = [] {
    std::array<float, 256> table{};
    for (int code = 0; code < 256; ++code) {
      int exponent = (code >> 3) & 15, mantissa = code & 7;
      float magnitude = exponent ? std::ldexp(8.0f + mantissa, exponent - 10) : std::ldexp(1.0f * mantissa, -9);
      if ((code & 127) == 127) magnitude = NAN;
      table[code] = code & 128 ? -magnitude : magnitude;
    }
    return table;
  }();
  return values;
}
