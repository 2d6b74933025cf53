"""Imported before torch: OpenMP workers of the judge must sleep, not spin, after a parallel region.

By default they spin for milliseconds after the reference has returned, on the cores on which the candidate is about
to be timed. OpenMP reads the variable when its library is loaded, so this has no effect if torch was imported before.
"""

from __future__ import annotations

import os
import sys

if "torch" not in sys.modules:
    _before = os.environ.get("OMP_WAIT_POLICY")
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    import torch  # noqa: F401

    if _before is None:
        del os.environ["OMP_WAIT_POLICY"]
    else:
        os.environ["OMP_WAIT_POLICY"] = _before
