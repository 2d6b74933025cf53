"""What kernels are compiled for, and the driver that tells Triton so where there is none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from triton.backends.compiler import GPUTarget

_CAPABILITY = re.compile(r"(\d+)\.(\d)")
# The most shared memory of one block, by compute capability: CUDA C++ Programming Guide, technical specifications.
_SHARED_KB = {
    (7, 0): 96,
    (7, 5): 64,
    (8, 0): 163,
    (8, 6): 99,
    (8, 7): 163,
    (8, 9): 99,
    (9, 0): 227,
    (10, 0): 227,
    (10, 3): 227,
    (12, 0): 99,
    (12, 1): 99,
}
_MOST_SHARED_KB = 227


@dataclass(frozen=True)
class Target:
    """A compute capability."""

    major: int = 9
    minor: int = 0

    @classmethod
    def of(cls, architecture: str) -> Target:
        """Read a compute capability; 9.0 where it is none."""
        found = _CAPABILITY.match(architecture)
        return cls(int(found[1]), int(found[2])) if found else cls()

    @property
    def shown(self) -> str:
        """As NVIDIA writes it."""
        return f"{self.major}.{self.minor}"

    @property
    def shared_bytes(self) -> int:
        """The most shared memory that one block can have."""
        return _SHARED_KB.get((self.major, self.minor), _MOST_SHARED_KB) << 10


class DriverLacks(Exception):
    """Triton or a solution wants something of the driver that only a device has."""


class PretendedDriver:
    """Answers what Triton asks a driver before it launches; of everything else it says that it is not there."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.utils = _Utils(target)

    def get_current_target(self) -> GPUTarget:
        """What to compile for."""
        return GPUTarget("cuda", self._target.major * 10 + self._target.minor, 32)

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def set_current_device(self, device: int) -> None:
        """There is only one."""

    def get_current_stream(self, device: int = 0) -> int:
        """The one that every device has."""
        return 0

    def get_device_capability(self, device: int = 0) -> tuple[int, int]:
        """Major and minor number."""
        return self._target.major, self._target.minor

    def get_active_torch_device(self) -> torch.device:
        """The device by torch's name."""
        return torch.device("cuda", 0)

    def get_device_interface(self) -> Any:
        """What torch has for such devices."""
        return torch.cuda

    def get_empty_cache_for_benchmark(self) -> torch.Tensor:
        """What a benchmark writes between two runs, to have the caches empty."""
        return torch.empty(1, device="cuda")

    def clear_cache(self, cache: torch.Tensor) -> None:
        """There is nothing in it."""

    def __getattr__(self, name: str) -> Any:
        raise DriverLacks(f"Triton's driver is asked for {name}, which needs a device")


class _Utils:
    """The part of a driver that is compiled for the machine."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def get_device_properties(self, device: int) -> dict[str, int]:
        """Sizes of the device, those of an H100 where the compute capability does not say."""
        return {
            "max_shared_mem": self._target.shared_bytes,
            "max_num_regs": 65536,
            "multiprocessor_count": 132,
            "warpSize": 32,
        }

    def __getattr__(self, name: str) -> Any:
        raise DriverLacks(f"Triton's driver is asked for {name}, which needs a device")
