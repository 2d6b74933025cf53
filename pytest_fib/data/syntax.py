"""Python source that nobody vouches for, parsed and never run."""

from __future__ import annotations

import ast
import warnings
from typing import TypeVar

_Tree = TypeVar("_Tree", ast.Module, ast.Expression)


def parse_module(source: str) -> ast.Module | None:
    """Return the syntax tree of a module, or None if the text is not Python. Never warns, never raises."""
    return _quietly(source, "exec", ast.Module)


def parse_expression(source: str) -> ast.expr | None:
    """Return the syntax tree of one expression, or None if the text is not one. Never warns, never raises."""
    tree = _quietly(source.strip(), "eval", ast.Expression)
    return None if tree is None else tree.body


def _quietly(source: str, mode: str, kind: type[_Tree]) -> _Tree | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, mode=mode)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, kind) else None
