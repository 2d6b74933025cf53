"""What is said of kernels that do not compile, and of those that nobody could compile."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from triton.compiler.errors import CompilationError

from pytest_fib.build.ahead.launches import Failure, name_of
from pytest_fib.build.sources import own_file, place_in
from pytest_fib.data.text import escape

_MOST_NAMES = 8


def compile_error(failure: Failure, sources: Mapping[str, str], shown_target: str) -> str:
    """Return the whole text of a compile error: the kernel, the line, and what Triton said."""
    return (
        f"Triton kernel {name_of(failure.kernel)} does not compile for compute capability {shown_target}: "
        f"{_line(failure, sources)}\n{_said(failure.error)}"
    )


def gist(error: BaseException) -> str:
    """Return the one line of an error that says most."""
    innermost = _innermost(error)
    if isinstance(innermost, CompilationError) and innermost.error_message:
        lines = str(innermost.error_message).strip().splitlines()
        return escape(lines[-1] if lines else "", 200)
    return escape(f"{type(error).__name__}: {_text_of(error)}", 200)


def place_of(error: BaseException) -> str:
    """Return file and line of the solution's innermost frame in an error's traceback, empty if there is none."""
    return place_in(reversed(list(traceback.walk_tb(error.__traceback__))))


def names(kernels: Sequence[Any]) -> str:
    """Return the names of some kernels as a part of a sentence."""
    shown = [name_of(kernel) for kernel in kernels[:_MOST_NAMES]]
    if len(kernels) > _MOST_NAMES:
        shown.append(f"{len(kernels) - _MOST_NAMES} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _line(failure: Failure, sources: Mapping[str, str]) -> str:
    """Return where the error is: the line in the kernel or in what it calls, else that of the launch."""
    error = _innermost(failure.error)
    code = failure.kernel.fn.__code__
    of_kernel = f"{own_file(code.co_filename) or code.co_filename}, line {code.co_firstlineno}"
    if isinstance(error, CompilationError):
        return _within(error, sources) or of_kernel
    launch = place_of(error)
    return f"{of_kernel}, launched at {launch}" if launch else of_kernel


def _within(error: CompilationError, sources: Mapping[str, str]) -> str:
    """Return file and line of the node at which Triton stopped, if its function is found among the sources."""
    line = getattr(error.node, "lineno", None)
    if not error.src or line is None:
        return ""
    for name, text in sources.items():
        before, found, _ = text.partition(error.src.strip("\n"))
        if found:
            return f"{name}, line {before.count(chr(10)) + line}"
    return ""


def _said(error: BaseException) -> str:
    """Return what Triton said, of the kernel and of each function that it was in."""
    texts = []
    at: BaseException | None = error
    while at is not None:
        texts.append(
            _text_of(at) if isinstance(at, CompilationError) else f"{type(at).__name__}: {_text_of(at)}"
        )
        at = at.__cause__ if isinstance(at.__cause__, CompilationError) else None
    return "\n".join(texts)


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error.__cause__, CompilationError):
        error = error.__cause__
    return error


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the solution's own, which may raise what it likes
        return "(it cannot be shown)"
