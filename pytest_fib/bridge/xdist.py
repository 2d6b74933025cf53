"""The questions about pytest-xdist that the rest of the plugin asks; xdist may be absent."""

from __future__ import annotations

import pytest


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is an xdist worker, which reports to a controller."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Whether this process hands its items to xdist workers and runs none itself."""
    return not is_worker(config) and config.getoption("dist", "no") != "no"
