"""What a device is called: ``cpu``, or ``cuda:N`` as this process counts the devices that it sees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_NODE = re.compile(r"nvidia\d+")


def visible_gpu(device: str, environ: Mapping[str, str]) -> str:
    """Return the id by which the driver knows ``cuda:N``, which counts within CUDA_VISIBLE_DEVICES."""
    _, _, number = device.partition(":")
    visible = [entry.strip() for entry in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if entry.strip()]
    index = int(number or 0)
    return visible[index] if index < len(visible) else str(index)


def visible_count(environ: Mapping[str, str], nodes: Iterable[str]) -> int:
    """Return how many devices CUDA will show to a process, without asking CUDA.

    ``nodes`` are the names of the driver's device nodes. As for CUDA itself, what CUDA_VISIBLE_DEVICES says counts up
    to the first entry that is no device, and nothing of it counts if one is named twice.
    """
    present = sum(_NODE.fullmatch(node.rpartition("/")[2]) is not None for node in nodes)
    said = environ.get("CUDA_VISIBLE_DEVICES")
    if said is None:
        return present
    entries = [entry.strip() for entry in said.split(",")]
    count = next(
        (index for index, entry in enumerate(entries) if not _names_one(entry, present)), len(entries)
    )
    return count if len(set(entries[:count])) == count and present else 0


def _names_one(entry: str, present: int) -> bool:
    return int(entry) < present if entry.isdecimal() else entry.startswith(("GPU-", "MIG-"))
