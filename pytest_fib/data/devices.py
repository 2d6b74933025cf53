"""What a device is called: ``cpu``, or ``cuda:N`` as this process counts the devices that it sees."""

from __future__ import annotations

from collections.abc import Mapping


def visible_gpu(device: str, environ: Mapping[str, str]) -> str:
    """Return the id by which the driver knows ``cuda:N``, which counts within CUDA_VISIBLE_DEVICES."""
    _, _, number = device.partition(":")
    visible = [entry.strip() for entry in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if entry.strip()]
    index = int(number or 0)
    return visible[index] if index < len(visible) else str(index)
