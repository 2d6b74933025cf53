"""Judging on a CUDA device: memory of the judge's own there, and the device itself."""
