"""Random numbers of a candidate's own: a fork would go on with those of the zygote, as every other fork does."""

from __future__ import annotations

import os
import sys

import torch


def reseed() -> None:
    """Seed torch's and numpy's global generators from the kernel's; Python's own does so after a fork.

    This is in the way of every candidate: ``torch.manual_seed`` looks for accelerators, which takes milliseconds, and
    numpy's generator, where it is not imported yet, seeds itself then.
    """
    seed = int.from_bytes(os.urandom(8), "little")
    if torch.version.cuda is None:
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
    generator = sys.modules.get("numpy.random")
    if generator is not None:
        generator.seed(list(os.urandom(16)))
