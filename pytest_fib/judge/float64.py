"""Running torch code in float64 although it says float32, float16 or bfloat16: dtypes are replaced at every call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

NARROW = frozenset({torch.float16, torch.bfloat16, torch.float32})

_LEAVING: tuple[Any, ...] = (torch.Tensor.numpy, torch.Tensor.__array__)
_CASTS = frozenset({torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16})


class NotFloat64(Exception):
    """The code computes something in another type, whatever it is told; the message says where."""


@contextmanager
def float64() -> Iterator[None]:
    """Within, conversions to and creations of narrow floats give float64; types of 8 bits stay what they are.

    Raises
    ------
    NotFloat64
        A result is a narrow float all the same, or the code looks at the bits of a tensor or leaves torch.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Widening():
            yield
    finally:
        torch.set_default_dtype(before)


class _Widening(TorchFunctionMode):
    """Replaces dtypes in arguments and checks those of results."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func`` with float64 for every narrow float."""
        named = dict(kwargs or {})
        if func is torch.Tensor.view and any(
            isinstance(value, torch.dtype) for value in (*args, *named.values())
        ):
            raise NotFloat64("view of a tensor's bits")
        if func in _LEAVING:
            raise NotFloat64("what becomes of numpy's arrays is not known")
        if func in _CASTS:
            func = torch.Tensor.double
        result = func(*map(_wide, args), **{key: _wide(value) for key, value in named.items()})
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, torch.Tensor) and value.dtype in NARROW:
                raise NotFloat64(f"{getattr(func, '__name__', 'a function')} returns {value.dtype}")
        return result


def _wide(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in NARROW else value
