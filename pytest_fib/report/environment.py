"""Where a run took place: device, processor, system, libraries, version control. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from pytest_fib.data.devices import visible_gpu
from pytest_fib.data.layers import missing_layers

LIBRARIES = (
    "torch",
    "triton",
    "apache-tvm-ffi",
    "numpy",
    "safetensors",
    "nvidia-cuda-runtime",
    "nvidia-cuda-runtime-cu12",
    "pytest",
    "pytest-benchmark",
    "pytest-xdist",
    "pytest-fib",
)
"""The distributions whose versions a result depends on."""

_CPUINFO = Path("/proc/cpuinfo")
_CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Machine:
    """The device (``cpu`` or ``cuda:N``), its name and the versions of the installed libraries."""

    device: str
    hardware: str
    libs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as the driver describes it; clocks in MHz."""

    name: str
    driver: str
    clocks: Mapping[str, int]


def find_machine(device: str) -> Machine:
    """Describe the machine for a resolved device, ``cpu`` or ``cuda:N``."""
    gpu = find_gpu(device)
    return Machine(device, hardware=gpu.name if gpu else cpu_model(), libs=library_versions())


def describe_run(
    *, device: str, timer: str, rootdir: Path, args: Sequence[str], sandbox: Sequence[Sequence[Any]] = ()
) -> dict[str, Any]:
    """Return the report's ``environment``.

    ``args`` are pytest's own arguments; ``sandbox`` lists layers as name, whether it holds, and why not. Whether it
    is complete is None where no candidate said so.
    """
    gpu = find_gpu(device)
    return {
        "hardware": gpu.name if gpu else cpu_model(),
        "driver": gpu.driver if gpu else None,
        "clocks": dict(gpu.clocks) if gpu else cpu_clocks(),
        "cpu": {"model": cpu_model(), "cores": os.cpu_count(), "usable_cores": usable_cores()},
        "os": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libs": library_versions(),
        "sandbox": {
            "active": [name for name, active, _reason in sandbox if active],
            "missing": {name: reason for name, active, reason in sandbox if not active},
            "complete": not missing_layers(sandbox) if sandbox else None,
        },
        "timer": timer,
        "git": git_state(rootdir),
        "command": shlex.join(["pytest", *args]),
    }


def library_versions(names: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Return the versions of those distributions that are installed, without importing them."""
    versions: dict[str, str] = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """Return the processor's marketing name, or what the platform calls it."""
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def cpu_clocks(cpufreq: Path = _CPUFREQ) -> dict[str, Any] | None:
    """Return governor and frequency limits in MHz as the kernel states them; None where it does not."""
    clocks: dict[str, Any] = {}
    with contextlib.suppress(OSError):
        clocks["governor"] = (cpufreq / "scaling_governor").read_text().strip()
    for name in ("scaling_min_freq", "scaling_max_freq"):
        with contextlib.suppress(OSError, ValueError):
            clocks[name.replace("scaling_", "").replace("_freq", "_mhz")] = (
                int((cpufreq / name).read_text()) // 1000
            )
    return clocks or None


def find_gpu(device: str) -> Gpu | None:
    """Ask the driver's own tool about ``cuda:N``; None for a CPU or without an answer."""
    if not device.startswith("cuda"):
        return None
    columns = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem")
    answer = _output_of(
        [
            "nvidia-smi",
            f"--id={visible_gpu(device, os.environ)}",
            f"--query-gpu={','.join(columns)}",
            "--format=csv,noheader,nounits",
        ]
    )
    values = [value.strip() for value in (answer or "").split(",")]
    if len(values) != len(columns):
        return None
    clocks = {
        name: int(value)
        for name, value in zip(("sm_mhz", "max_sm_mhz", "memory_mhz"), values[2:], strict=True)
        if value.isdigit()
    }
    return Gpu(name=values[0], driver=values[1], clocks=clocks)


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and whether tracked files differ from it; None outside a repository or without git."""
    # A repository can name a program as its fsmonitor, which git would run.
    git = ["git", "-c", "core.fsmonitor=false", "-C", str(folder)]
    commit = _output_of([*git, "rev-parse", "HEAD"])
    if commit is None:
        return None
    changes = _output_of([*git, "status", "--porcelain", "--untracked-files=no"])
    return {"commit": commit.strip(), "dirty": None if changes is None else bool(changes.strip())}


def _output_of(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def usable_cores() -> int | None:
    """Return how many cores this process may use; None where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
