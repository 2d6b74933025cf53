"""Pure functions on sequences of floats. No torch, no pytest."""
