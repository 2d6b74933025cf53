"""Solution to callable, one module per language; all of it runs in the candidate process only.

A language is a module with these functions, named in ``LANGUAGES``:

``build(order)``
    Compile what has to be compiled into ``order.artifact_dir``; may do nothing.
``load(order)``
    Return the entry point as a Python callable.
``argument(tensor)``
    Return what the entry point is given for a tensor of the arena, made before any call.
``loop(order, entry)``
    Return what makes calls of the loaded entry point in compiled code; a module may be without.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import torch

    from pytest_fib.border.order import Order

LANGUAGES = {
    "python": "pytest_fib.build.python",
    "triton": "pytest_fib.build.triton",
    "cpp": "pytest_fib.build.cpp",
    "cuda": "pytest_fib.build.cuda",
    "idle": "pytest_fib.build.idle",
    "idle_cpp": "pytest_fib.build.idle_cpp",
}
TORCH_BINDING = "pytest_fib.build.torch_binding"


class BuildError(Exception):
    """A solution cannot be built; the message is what the compiler or the checks said."""


class Language(Protocol):
    """What each module in ``LANGUAGES`` offers."""

    build: Callable[[Order], None]
    load: Callable[[Order], Any]
    argument: Callable[[torch.Tensor], Any]


def language_module(order: Order) -> Language:
    """Import the module that builds and loads what ``order`` describes."""
    name = TORCH_BINDING if order.binding == "torch" else LANGUAGES[order.language]
    return cast(Language, importlib.import_module(name))
