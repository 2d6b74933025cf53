"""Makes Triton's CPU interpreter right for bfloat16 and float8, and proves it before anything is judged.

The interpreter keeps these floats as bit patterns in unsigned integers and then computes on the patterns:
additions, comparisons, dot products and casts are silently wrong. ``repair`` sends every such operation
through float32 and rounds the result to nearest even. It has to touch private names of Triton, so
``self_check`` runs real kernels with known answers afterwards; a Triton version that it does not fit shows up
there, never in a verdict.

Only for the candidate process, started with ``TRITON_INTERPRET=1``. Nothing here runs an operation of torch,
so an import-only zygote may call it before it forks.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from types import ModuleType
from typing import Any

import numpy as np
import triton

from pytest_fib.build.triton_formats import FORMATS, FloatFormat
from pytest_fib.build.triton_shims import (
    fill_libdevice,
    remember_numpy_types,
    remember_what_is_built_in,
    skip_overflow_checks,
    take_first_autotuned_config,
)

# Operations that move bit patterns without looking at them, or that have their own repair below.
_MOVES = """
addptr advance atomic_cas atomic_load atomic_poll atomic_rmw atomic_store assert assume barrier bitcast
broadcast cat descriptor_gather descriptor_load descriptor_scatter descriptor_store dot dot_scaled expand_dims
extern_elementwise fp_ext fp_to_fp fp_to_si fp_to_ui fp_trunc gather get_num_programs get_program_id inline_asm
int_cast int_to_ptr join load make_block_ptr make_range make_tensor_descriptor masked_load masked_store print
ptr_to_int reshape select si_to_fp splat split store tensor_pointer_load tensor_pointer_store trans ui_to_fp
unsplat
"""
_LEFT_ALONE = frozenset(f"create_{name}" for name in _MOVES.split())
_MARK = "__fib_repaired__"


@lru_cache(maxsize=1)
def ensure_correct() -> tuple[str, ...]:
    """Repair the interpreter and return the names of the checks that still fail; empty means it is right.

    Done once per process (about 50 ms): a child that was forked afterwards finds it done.
    """
    from pytest_fib.build.triton_selfcheck import self_check

    reason = repair()
    wrong = self_check()
    return (reason, *wrong) if wrong and reason else wrong


def repair() -> str | None:
    """Patch the interpreter of this process; return why that is impossible, or None. Safe to repeat."""
    if not _interpreting():
        return "TRITON_INTERPRET=1 was not set before triton was imported"
    try:
        Repair(importlib.import_module("triton.runtime.interpreter")).apply()
    except (ImportError, AttributeError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        return f"the interpreter of triton {triton.__version__} is unknown here ({what})"
    return None


def _interpreting() -> bool:
    knobs = getattr(triton, "knobs", None)
    return bool(knobs is not None and knobs.runtime.interpret)


class Repair:
    """The patches for one interpreter module."""

    def __init__(self, interpreter: ModuleType) -> None:
        self.interpreter = interpreter
        self.builder: Any = interpreter.InterpreterBuilder
        self.handle: Any = interpreter.TensorHandle
        self.language: Any = interpreter.tl

    def apply(self) -> None:
        """Patch once; AttributeError or TypeError where this interpreter is built differently."""
        if hasattr(self.builder, _MARK):
            return
        self._repair_arithmetic()
        self._repair_casts()
        self._repair_dot()
        self._repair_atomic_add()
        self._repair_padded_loads()
        self._repair_reductions()
        self._repair_loop_bounds()
        self._repair_print()
        take_first_autotuned_config()
        skip_overflow_checks(self.interpreter.interpreter_builder)
        remember_what_is_built_in(self.interpreter)
        remember_numpy_types(self.interpreter)
        fill_libdevice(self)
        setattr(self.builder, _MARK, True)

    # Handles: a numpy array with a Triton dtype

    def format_of(self, value: Any) -> FloatFormat | None:
        """The narrow format of a handle; None for other dtypes and for what is no handle."""
        if not isinstance(value, self.handle):
            return None
        return FORMATS.get(value.dtype.scalar.name)

    def numbers(self, handle: Any) -> Any:
        """What a handle holds as numbers; a comparison's result is bool whatever its label says."""
        fmt = self.format_of(handle)
        return handle.data if fmt is None or handle.data.dtype != fmt.storage else fmt.decode(handle.data)

    def handle_of(self, values: Any, dtype: Any, toward_zero: bool = False) -> Any:
        """A handle of the scalar type ``dtype`` that holds ``values``, rounded."""
        if dtype.name in FORMATS:
            return self.handle(FORMATS[dtype.name].encode(values, toward_zero), dtype)
        with np.errstate(all="ignore"):
            return self.handle(np.asarray(values).astype(self.interpreter._get_np_dtype(dtype)), dtype)

    def widened(self, value: Any) -> Any:
        """A handle of a narrow float as one of float32; anything else as it is."""
        if self.format_of(value) is None:
            return value
        return self.handle_of(self.numbers(value), self.language.float32)

    def narrowed(self, value: Any, dtype: Any) -> Any:
        """The result of an operation on widened handles, back in ``dtype``."""
        if isinstance(value, (tuple, list)):
            return type(value)(self.narrowed(item, dtype) for item in value)
        if not isinstance(value, self.handle):
            return value
        if value.data.dtype == np.bool_:
            return self.handle(value.data, self.language.int1)
        if value.dtype.scalar != self.language.float32:
            return value
        return self.handle_of(value.data, dtype)

    # The builder's operations

    def _replace(self, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        setattr(self.builder, name, make(getattr(self.builder, name)))

    def _repair_arithmetic(self) -> None:
        for name in dir(self.builder):
            if name.startswith("create_") and name not in _LEFT_ALONE:
                self._replace(name, self._through_float32)

    def _through_float32(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(operation)
        def rounded_once(builder: Any, *args: Any, **kwargs: Any) -> Any:
            narrow = next((arg for arg in (*args, *kwargs.values()) if self.format_of(arg)), None)
            if narrow is None:
                return operation(builder, *args, **kwargs)
            with np.errstate(all="ignore"):
                wide = operation(
                    builder,
                    *(self.widened(arg) for arg in args),
                    **{key: self.widened(arg) for key, arg in kwargs.items()},
                )
                return self.narrowed(wide, narrow.dtype.scalar)

        return rounded_once

    def _repair_casts(self) -> None:
        toward_zero = self.interpreter._ir.ROUNDING_MODE.RTZ

        def cast(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def by_value(builder: Any, src: Any, dst_type: Any, *mode: Any) -> Any:
                target = dst_type.scalar
                if self.format_of(src) is None and target.name not in FORMATS:
                    return original(builder, src, dst_type, *mode)
                return self.handle_of(self.numbers(src), target, mode == (toward_zero,))

            return by_value

        self._replace("cast_impl", cast)
        self._replace("create_fp_to_fp", cast)
        for name in FORMATS:
            if not hasattr(self.builder, f"get_{name}"):
                setattr(self.builder, f"get_{name}", self._constant(name))

    def _constant(self, name: str) -> Callable[..., Any]:
        dtype = self.language.str_to_ty(name, None)
        return lambda builder, value: self.handle_of(np.array([value]), dtype)

    def _repair_dot(self) -> None:
        def dot(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def in_float32(builder: Any, lhs: Any, rhs: Any, acc: Any, *options: Any, **named: Any) -> Any:
                with np.errstate(all="ignore"):
                    return original(builder, self.widened(lhs), self.widened(rhs), acc, *options, **named)

            return in_float32

        self._replace("create_dot", dot)
        unscaled = getattr(self.interpreter, "_mxfp_value_handle_to_float32", None)
        if unscaled is not None:

            def exact(handle: Any) -> Any:
                return unscaled(handle) if self.format_of(handle) is None else self.numbers(handle)

            self.interpreter._mxfp_value_handle_to_float32 = exact  # type: ignore[attr-defined]

    def _repair_atomic_add(self) -> None:
        memory = self.interpreter._interpreter
        float_add = self.interpreter._ir.ATOMIC_OP.FADD

        def add(fmt: FloatFormat, pointers: Any, values: Any, mask: Any) -> Any:
            addresses, amounts, selected = (
                array.ravel() for array in np.broadcast_arrays(pointers, fmt.decode(values), mask)
            )
            old = np.zeros(addresses.shape, dtype=fmt.storage)
            for turn in _turns(addresses, selected):
                old[turn] = memory.load(addresses[turn], selected[turn], old[turn], fmt.storage)
                memory.store(
                    addresses[turn], fmt.encode(fmt.decode(old[turn]) + amounts[turn]), selected[turn]
                )
            return old.reshape(np.broadcast_shapes(np.shape(pointers), np.shape(values)))

        def atomic(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def read_modify_write(builder: Any, op: Any, ptr: Any, val: Any, mask: Any, *order: Any) -> Any:
                fmt = self.format_of(val)
                if fmt is None or op != float_add:
                    return original(builder, op, ptr, val, mask, *order)
                return self.handle(add(fmt, ptr.data, val.data, mask.data), val.dtype.scalar)

            return read_modify_write

        self._replace("create_atomic_rmw", atomic)

    def _repair_padded_loads(self) -> None:
        padding = self.interpreter._ir.PADDING_OPTION

        def filled(loaded: Any, masks: Any) -> Any:
            fmt = FORMATS[loaded.dtype.scalar.name]
            inside = masks.data if isinstance(masks, self.handle) else masks
            return self.handle(np.where(inside, loaded.data, fmt.encode(np.float32(np.nan))), loaded.dtype)

        def descriptor(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def load(builder: Any, desc: Any, indices: Any, *policy: Any, **named: Any) -> Any:
                if desc.padding != padding.PAD_NAN or desc.base.get_element_ty().name not in FORMATS:
                    return original(builder, desc, indices, *policy, **named)
                zeroed = copy.copy(desc)
                zeroed.padding = padding.PAD_ZERO
                loaded = original(builder, zeroed, indices, *policy, **named)
                return filled(loaded, desc.materialize_pointers(indices)[1])

            return load

        def block_pointer(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def load(builder: Any, ptr: Any, boundary_check: Any, padding_option: Any, *policy: Any) -> Any:
                if padding_option != padding.PAD_NAN or ptr.base.get_element_ty().name not in FORMATS:
                    return original(builder, ptr, boundary_check, padding_option, *policy)
                loaded = original(builder, ptr, boundary_check, padding.PAD_ZERO, *policy)
                return filled(loaded, ptr.materialize_pointers(boundary_check)[1])

            return load

        if hasattr(self.builder, "create_descriptor_load"):
            self._replace("create_descriptor_load", descriptor)
        if hasattr(self.builder, "create_tensor_pointer_load"):  # up to Triton 3.6
            self._replace("create_tensor_pointer_load", block_pointer)

    def _repair_print(self) -> None:
        def show(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def as_numbers(builder: Any, prefix: Any, hexadecimal: Any, values: Any, *rest: Any) -> Any:
                shown = values if hexadecimal else [self.widened(value) for value in values]
                return original(builder, prefix, hexadecimal, shown, *rest)

            return as_numbers

        if hasattr(self.builder, "create_print"):
            self._replace("create_print", show)

    # Reductions and scans work on tl.tensor, not through the builder

    def _repair_reductions(self) -> None:
        for name in ("ReduceOps", "ScanOps"):
            operation = getattr(self.interpreter, name)
            operation.apply_impl = self._reduced_in_float32(operation.apply_impl)

    def _reduced_in_float32(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def apply_impl(operation: Any, tensors: Any) -> Any:
            dtypes = [tensor.handle.dtype.scalar for tensor in tensors]
            if not any(dtype.name in FORMATS for dtype in dtypes):
                return original(operation, tensors)
            with np.errstate(all="ignore"):
                results = original(operation, tuple(self._wide_tensor(tensor) for tensor in tensors))
            if not isinstance(results, (tuple, list)):
                results = (results,)
            return tuple(
                self._narrow_tensor(result, dtype) for result, dtype in zip(results, dtypes, strict=False)
            )

        return apply_impl

    def _wide_tensor(self, tensor: Any) -> Any:
        if self.format_of(tensor.handle) is None:
            return tensor
        return self.tensor(self.widened(tensor.handle), tensor.type.is_block())

    def _narrow_tensor(self, tensor: Any, dtype: Any) -> Any:
        if dtype.name not in FORMATS:
            return tensor
        return self.tensor(self.narrowed(tensor.handle, dtype), tensor.type.is_block())

    def tensor(self, handle: Any, block: bool) -> Any:
        """A ``tl.tensor`` around ``handle``: a block of its array's shape, or a scalar."""
        scalar = handle.dtype.scalar
        shaped = self.language.block_type(scalar, list(handle.data.shape)) if block else scalar
        return self.language.tensor(handle, shaped)

    # Around the language

    def _repair_loop_bounds(self) -> None:
        # Triton 3.6 turns one-element arrays into loop bounds in a way that numpy 2.4 refuses.
        original = self.interpreter._patch_lang_tensor

        @wraps(original)
        def patch_lang_tensor(tensor: Any, *scope: Any) -> None:
            original(tensor, *scope)
            tensor.__index__ = lambda value: int(value.handle.data.reshape(-1)[0])

        self.interpreter._patch_lang_tensor = patch_lang_tensor  # type: ignore[attr-defined]


def _turns(addresses: Any, selected: Any) -> Iterable[Any]:
    """Index arrays that together cover the selected positions, none of them with the same address twice."""
    left = np.flatnonzero(selected)
    while left.size:
        first = np.unique(addresses[left], return_index=True)[1]
        yield left[first]
        left = np.delete(left, first)
