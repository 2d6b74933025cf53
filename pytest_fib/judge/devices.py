"""What a CUDA device is called by everybody on its machine, whatever is visible to them, and what drives it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from pytest_fib.data.devices import visible_gpu

_DRIVER = Path("/proc/driver/nvidia/version")
_GPUS = Path("/proc/driver/nvidia/gpus")
_UUID = re.compile(r"^GPU UUID:\s*(\S+)\s*$", re.MULTILINE)
_MINOR = re.compile(r"^Device Minor:\s*(\d+)\s*$", re.MULTILINE)


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


def visible_as(device: str) -> str:
    """Return what CUDA_VISIBLE_DEVICES has to be for ``cuda:N`` alone, whichever nodes of the driver are there."""
    uuid = uuid_of(device)
    return uuid if uuid.isdecimal() or uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"


def node_of(visible: str, gpus: Path = _GPUS) -> str:
    """Return the node in /dev of the GPU that ``visible_as`` names, empty where the kernel does not say it."""
    try:
        texts = [(entry / "information").read_text(errors="replace") for entry in sorted(gpus.iterdir())]
    except OSError:
        return ""
    for text in texts:
        uuid, minor = _UUID.search(text), _MINOR.search(text)
        if uuid and minor and uuid[1] == visible:
            return f"/dev/nvidia{minor[1]}"
    return ""
