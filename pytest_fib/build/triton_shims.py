"""What Triton's CPU interpreter leaves open, autotuning and libdevice, and what it does for nothing."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pytest_fib.build.triton_interpreter import Repair

_LIBRARIES = ("triton.language.extra.libdevice", "triton.language.extra.cuda.libdevice")
_IN_NUMPY = """
exp exp2 expm1 log log2 log10 log1p sqrt cbrt sin cos tan sinh cosh tanh floor ceil trunc rint fmod hypot copysign
fmin fmax isnan isinf signbit
"""
_RENAMED = {
    "abs": np.abs,
    "fabs": np.abs,
    "nearbyint": np.rint,
    "pow": np.power,
    "fast_powf": np.power,
    "fast_dividef": np.divide,
    "div_rn": np.divide,
    "sqrt_rn": np.sqrt,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "fast_expf": np.exp,
    "fast_logf": np.log,
    "fast_log2f": np.log2,
    "fast_log10f": np.log10,
    "fast_sinf": np.sin,
    "fast_cosf": np.cos,
    "fast_tanf": np.tan,
    "isfinited": np.isfinite,
    "finitef": np.isfinite,
}


def take_first_autotuned_config() -> None:
    """Let ``@triton.autotune`` take its first configuration and run none: on a CPU their times say nothing."""
    autotuner = importlib.import_module("triton.runtime.autotuner").Autotuner

    def bench(tuner: Any, *args: Any, config: Any, **meta: Any) -> list[float]:
        return [0.0, 0.0, 0.0]

    autotuner._bench = bench


def skip_overflow_checks(builder: Any) -> None:
    """Do not work out whether integers overflow where nothing looks at the result: it takes half of the time."""
    if not builder.options.debug:
        builder.options = dataclasses.replace(builder.options, sanitize_overflow=False)


def remember_what_is_built_in(interpreter: ModuleType) -> None:
    """Look through Triton's language once, not at every launch and in every call of a function of its own library.

    Each of them replaces the language's functions by those of the interpreter and puts them back. Finding out which
    ones takes more time than everything else in a kernel of small tiles.
    """
    replace: Callable[..., None] = interpreter._patch_attr
    is_builtin: Callable[[object], bool] = interpreter.tl.core.is_builtin
    known: dict[object, list[str]] = {}

    def replace_all(owner: Any, builder: Any, *scope: Any) -> None:
        if owner not in known:
            known[owner] = [name for name, member in inspect.getmembers(owner) if is_builtin(member)]
        for name in known[owner]:
            member = getattr(owner, name)
            if is_builtin(member):  # and not replaced by an outer call
                replace(owner, name, member, builder, *scope)

    interpreter._patch_builtin = replace_all  # type: ignore[attr-defined]


def remember_numpy_types(interpreter: ModuleType) -> None:
    """Make the table from Triton's types to numpy's once for each type, not at every operation."""
    look_up: Callable[[Any], np.dtype[Any]] = interpreter._get_np_dtype
    known: dict[str, np.dtype[Any]] = {}

    def numpy_type(dtype: Any) -> np.dtype[Any]:
        element = dtype.element_ty if isinstance(dtype, interpreter.tl.block_type) else dtype
        if element.name not in known:
            known[element.name] = look_up(element)
        return known[element.name]

    interpreter._get_np_dtype = numpy_type  # type: ignore[attr-defined]


def fill_libdevice(repair: Repair) -> None:
    """Give common functions of libdevice, which is GPU bitcode, a body; the others say that they have none."""
    functions = _functions(repair)
    for name in _LIBRARIES:
        try:
            library = importlib.import_module(name)
        except ImportError:
            continue
        for symbol, value in list(vars(library).items()):
            if isinstance(value, FunctionType) and not symbol.startswith("_"):
                function = functions.get(symbol)
                setattr(library, symbol, _elementwise(repair, function) if function else _absent(symbol))


def _functions(repair: Repair) -> dict[str, Callable[..., Any]]:
    return {
        **{name: getattr(np, name) for name in _IN_NUMPY.split()},
        **_RENAMED,
        "rsqrt": _reciprocal_root,
        "rsqrt_rn": _reciprocal_root,
        "fma": lambda x, y, z: np.asarray(np.float64(x) * y + z, dtype=np.result_type(x, y, z)),
        "round": lambda x: np.copysign(np.floor(np.abs(x) + np.float32(0.5)), x),
        "erf": repair.interpreter.np_erf_fp32,
    }


def _reciprocal_root(x: Any) -> Any:
    return 1 / np.sqrt(x)


def _elementwise(repair: Repair, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, _semantic: object = None) -> Any:
        tensors = [repair.interpreter.interpreter_semantic.to_tensor(arg) for arg in args]
        with np.errstate(all="ignore"):
            values = np.asarray(function(*(repair.numbers(tensor.handle) for tensor in tensors)))
        block = any(tensor.type.is_block() for tensor in tensors)
        dtype = repair.language.int1 if values.dtype == np.bool_ else tensors[0].dtype
        return repair.tensor(repair.handle_of(values, dtype), block)

    return call


def _absent(symbol: str) -> Callable[..., Any]:
    def call(*args: object, **named: object) -> Any:
        raise NotImplementedError(
            f"libdevice.{symbol} is not available in Triton's CPU interpreter: use tl.*, or run on a GPU"
        )

    return call
