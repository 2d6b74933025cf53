"""Which device a run, or one of its xdist workers, judges on, and what share of the processor goes with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

import pytest

from pytest_fib.bridge import xdist
from pytest_fib.candidate.sandbox.policy import nvidia_devices
from pytest_fib.data.devices import visible_count
from pytest_fib.data.solution import Solution
from pytest_fib.errors import NoDevice, SettingsError
from pytest_fib.settings import Settings

LEAST_CORES = 2
"""What a worker needs to time: a core for the judge, and one for the candidate."""


def workers(config: pytest.Config) -> int | None:
    """Return what ``-n auto`` means: as many workers as devices; None where nothing is judged on devices.

    Asked before anything else of the run is known; what is wrong with its settings is said later.
    """
    if xdist.says_how_many(config):
        return None
    try:
        device = Settings.from_config(config).device
    except SettingsError:
        return None
    if device.startswith("cuda:"):
        return 1
    return visible_count(os.environ, nvidia_devices()) or None if device == "cuda" else None


def resolve_device(
    device: str, solution: Solution | None = None, worker: int = 0, count: Callable[[], int] | None = None
) -> str:
    """Return where to judge for what ``--fib-device`` says: ``cpu`` or ``cuda:N``.

    ``auto`` is a CUDA device if there is one and ``solution`` is written for more than a CPU. Where no number is
    said, ``worker`` i of an xdist run takes device i modulo their ``count`` (that which torch sees).

    Raises
    ------
    NoDevice
        If the device cannot be had.
    """
    if device == "cpu" or (device == "auto" and not (solution and _wants_gpu(solution))):
        return "cpu"
    seen = (count or _torch_count)()
    if device == "auto" and not seen:
        return "cpu"
    number = device.partition(":")[2]
    index = int(number) if number else worker % max(1, seen)
    if index >= seen:
        sees = f"torch sees {seen} CUDA devices" if seen else "torch sees no CUDA device"
        raise NoDevice(f"there is no judging on {device}: {sees}; use --fib-device=cpu")
    return f"cuda:{index}"


def share(cores: Iterable[int], index: int, count: int) -> Sequence[int]:
    """Return the cores of worker ``index`` of ``count``, neighbours; all of them where there are too few to share."""
    every = sorted(cores)
    if len(every) < LEAST_CORES * count:
        return every
    return every[index * len(every) // count : (index + 1) * len(every) // count]


def keep_to_share(config: pytest.Config) -> None:
    """Keep this xdist worker, and all that it starts, to its share of the cores.

    Judges of different devices time at the same time, and each waits on a core of its own.
    """
    index, count = xdist.place(config)
    if count > 1:
        os.sched_setaffinity(0, share(os.sched_getaffinity(0), index, count))


def _torch_count() -> int:
    if not nvidia_devices():  # without a driver there is no need to wait for torch
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _wants_gpu(solution: Solution) -> bool:
    from pytest_fib.judge.orders import runs_on_gpu

    return runs_on_gpu(solution)
