"""What a CUDA device is called by everybody on its machine, whatever is visible to them, and what drives it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from pytest_fib.data.devices import visible_gpu

_DRIVER = Path("/proc/driver/nvidia/version")


def uuid_of(device: str) -> str:
    """Return the UUID of ``cuda:N``; with a torch that does not say it, the number by which the driver knows it."""
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return str(uuid or visible_gpu(device, os.environ))


def driver_version(path: Path = _DRIVER) -> str:
    """Return what the kernel says of the driver, empty where it says nothing."""
    try:
        return path.read_text(errors="replace").splitlines()[0]
    except (OSError, IndexError):
        return ""
