"""Content for tensors that have none: made up where a solution looks at what would be on its device.

Lengths, counts and offsets are what is looked at most, so the numbers are 16, 32, 48, …: none is 0, each is larger
than the one before, and all are as divisible as Triton likes them. Nobody knows where a solution goes from there,
so what it does behind its first look is not held against it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch

from pytest_fib.build.sources import place_in

META = torch.device("meta")

_STEP = 16
_MOST_ELEMENTS = 1 << 24
_MOST_LOOKS = 10_000  # who looks this often waits for something that never comes
_TO_HOST = (torch.Tensor.cpu, torch.Tensor.to, torch.Tensor.copy_)


class NoContent(RuntimeError):
    """There is no end to what a solution wants to see, or it is too large to be made up."""


class Content:
    """Makes up content, and remembers where it was first wanted.

    Attributes
    ----------
    place
        Where in the solution that was in this call; empty while nothing was.
    first_place
        The same of all calls.
    """

    def __init__(self) -> None:
        self.place = ""
        self.first_place = ""
        self._looks = 0

    def begin(self) -> None:
        """Begin a new call."""
        self.place = ""
        self._looks = 0

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call ``function``, which could not do without content; tensors that it makes have none again."""
        self.place = self.place or place_in(traceback.walk_stack(None)) or "an unknown place"
        self.first_place = self.first_place or self.place
        self._looks += 1
        if self._looks > _MOST_LOOKS:
            raise NoContent(f"it looks at what is on the device more than {_MOST_LOOKS} times")
        result = function(*_mapped(_made_up, args), **_mapped(_made_up, kwargs))
        return result if function in _TO_HOST else _mapped(_emptied, result)


def _made_up(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_meta:
        return tensor
    count = tensor.numel()
    if count > _MOST_ELEMENTS:
        raise NoContent(f"a tensor of {count} elements on the device is too large to be made up")
    if tensor.dtype == torch.bool:
        return torch.ones(tensor.shape, dtype=torch.bool)
    return torch.arange(_STEP, _STEP * (count + 1), _STEP).to(tensor.dtype).view(tensor.shape)


def _emptied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(META)


def _mapped(change: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(change, item) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_mapped(change, item) for item in value)
    if isinstance(value, tuple):  # what torch returns by names
        return tuple(_mapped(change, item) for item in islice(value, len(value)))
    return value
