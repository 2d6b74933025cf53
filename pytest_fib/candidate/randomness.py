"""Random numbers of a candidate's own: a fork would go on with those of the zygote, as every other fork does."""

from __future__ import annotations

import os
import sys

import torch


def reseed() -> None:
    """Seed torch's and numpy's global generators from the kernel's; Python's own does so after a fork."""
    torch.manual_seed(int.from_bytes(os.urandom(8), "little"))
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(list(os.urandom(16)))
