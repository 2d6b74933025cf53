"""The questions about pytest-xdist that the rest of the plugin asks; xdist may be absent."""

from __future__ import annotations

import os

import pytest


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is an xdist worker, which reports to a controller."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Whether this process hands its items to xdist workers and runs none itself."""
    return not is_worker(config) and config.getoption("dist", "no") != "no"


def place(config: pytest.Config) -> tuple[int, int]:
    """Return the number of this worker, from 0, and how many there are; ``(0, 1)`` without xdist."""
    given = getattr(config, "workerinput", {})
    number = str(given.get("workerid", "")).removeprefix("gw")
    count = max(1, int(given.get("workercount", 1)))
    return (int(number) if number.isdecimal() else 0) % count, count


def says_how_many(config: pytest.Config) -> bool:
    """Whether the user's environment says what ``-n auto`` means, which comes first."""
    return bool(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"))
