"""Pure functions on sequences of floats: medians, intervals, scores. No torch, no pytest."""
