"""Calling conventions: what the entry point is given, and what becomes of what it returns.

The ABI checks neither dtype nor shape nor strides, so arguments are made here from the definition and nothing else,
and a returned value must match the definition before its bytes are taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.dlpack

from pytest_fib.border.order import Order
from pytest_fib.candidate import memory as candidate_memory


class OutputError(Exception):
    """A returned value does not fit the definition; ``about`` is ``shape`` or ``dtype``."""

    def __init__(self, about: str, message: str) -> None:
        super().__init__(message)
        self.about = about


@dataclass(frozen=True)
class Kernel:
    """An entry point with its calling convention."""

    entry: Callable[..., Any]
    destination_passing: bool
    outputs: tuple[str, ...]
    argument: Callable[[torch.Tensor], Any]
    remark: str = ""
    optional: frozenset[str] = frozenset()

    def arguments(self, memory: candidate_memory.Mapping, index: int) -> tuple[Any, ...]:
        """Return what ``run`` needs for one call on set ``index``: positional arguments, then, for value-returning
        entry points, the tuple of output tensors to copy the result into."""
        plan = memory.plan
        tensors = dict(
            zip((slot.name for slot in plan.inputs.slots), memory.input_tensors(index), strict=True)
        )
        outputs = memory.output_tensors(index)
        _check(tensors.values(), outputs)
        count = len(outputs) - len(plan.in_place)
        tensors.update(zip(plan.in_place, outputs[count:], strict=True))
        del outputs[count:]
        inputs = tuple(
            self.argument(tensors[name]) if name in tensors else plan.scalars[name] for name in plan.arguments
        )
        if self.destination_passing:
            return (*inputs, *(self.argument(output) for output in outputs))
        return (inputs, tuple(outputs))

    def run(self, calls: Sequence[tuple[Any, ...]]) -> None:
        """Make the calls one after the other; nothing else happens in here, because this is what is timed."""
        entry = self.entry
        if self.destination_passing:
            for arguments in calls:
                entry(*arguments)
            return
        for inputs, outputs in calls:
            store(entry(*inputs), outputs, self.outputs, self.optional)


def _check(inputs: Any, outputs: Any) -> None:
    for tensor in (*inputs, *outputs):
        if not tensor.is_contiguous():
            raise AssertionError("the arena made a tensor that is not contiguous; please report this")


def bind(entry: Any, order: Order, argument: Callable[[torch.Tensor], Any]) -> Kernel:
    """Decide the calling convention of ``entry``.

    Where the solution does not say it, it is inferred from the signature; where what it says cannot be called, the
    signature wins and the remark says so.

    Raises
    ------
    TypeError
        If ``entry`` cannot be called.
    """
    if not callable(entry):
        raise TypeError(
            f"{order.entry_symbol} in {order.entry_file} is a {type(entry).__name__}, not a function"
        )
    declared = order.destination_passing
    inferred = _infer(entry, order)
    remark = ""
    if declared is None:
        style = True if inferred is None and order.language in ("cpp", "cuda") else bool(inferred)
    elif inferred is not None and inferred != declared:
        style = inferred
        remark = (
            f"destination_passing_style is declared {str(declared).lower()}, but {order.entry_symbol} takes "
            f"{'outputs as well' if inferred else 'inputs only'}: called as its signature says"
        )
    else:
        style = declared
    return Kernel(entry, style, order.outputs, argument, remark, frozenset(order.optional))


def _infer(entry: Any, order: Order) -> bool | None:
    """Return whether the signature takes inputs and outputs (True), inputs only (False), or does not tell (None)."""
    try:
        parameters = inspect.signature(entry).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    required = sum(p.default is p.empty for p in positional)
    fits_inputs = required <= order.inputs <= len(positional)
    with_outputs = order.inputs + len(order.outputs)
    fits_outputs = required <= with_outputs <= len(positional)
    if fits_inputs and fits_outputs:
        return None
    return True if fits_outputs else False if fits_inputs else None


def store(
    result: Any,
    outputs: tuple[torch.Tensor, ...],
    names: tuple[str, ...],
    optional: frozenset[str] = frozenset(),
) -> None:
    """Copy what an entry point returned into the output tensors; those that are ``optional`` may be missing.

    Raises
    ------
    OutputError
        If the number, shape or dtype of the returned values differs from the definition.
    """
    if isinstance(result, torch.Tensor):
        values: tuple[Any, ...] = (result,)
    elif isinstance(result, Mapping):
        missing = [name for name in names if name not in result and name not in optional]
        if missing:
            raise OutputError("shape", f"the returned dict has no output {missing[0]!r}")
        values = tuple(result.get(name) for name in names)
    elif isinstance(result, (tuple, list)):
        values = tuple(result)
    else:
        values = (result,)
    if len(values) < len(outputs) and optional.issuperset(names[len(values) :]):
        values += (None,) * (len(outputs) - len(values))
    if len(values) != len(outputs):
        values_are = "1 value" if len(values) == 1 else f"{len(values)} values"
        raise OutputError(
            "shape", f"returned {values_are}; the definition's outputs are {len(names)}: {', '.join(names)}"
        )
    for name, value, output in zip(names, values, outputs, strict=True):
        if value is not None or name not in optional:
            _store_one(name, value, output)


def _store_one(name: str, value: Any, output: torch.Tensor) -> None:
    if not isinstance(value, torch.Tensor):
        value = _as_tensor(name, value, output)
    if value.shape != output.shape:
        raise OutputError(
            "shape",
            f"output {name!r} has shape {list(value.shape)}, the definition says {list(output.shape)}",
        )
    if value.dtype != output.dtype:
        raise OutputError(
            "dtype", f"output {name!r} has dtype {value.dtype}, the definition says {output.dtype}"
        )
    output.copy_(value.detach())


def _as_tensor(name: str, value: Any, output: torch.Tensor) -> torch.Tensor:
    if value is None:
        raise OutputError("shape", f"output {name!r} is None: the entry point returned nothing for it")
    if isinstance(value, (bool, int, float)):
        return torch.tensor(value, dtype=output.dtype)
    if hasattr(value, "__dlpack__"):
        return torch.utils.dlpack.from_dlpack(value)
    raise OutputError("shape", f"output {name!r} is a {type(value).__name__}, not a tensor")
