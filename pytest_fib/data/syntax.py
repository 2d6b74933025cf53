"""Python source that nobody vouches for, parsed and never run."""

from __future__ import annotations

import ast
import warnings
from typing import TypeVar

_Tree = TypeVar("_Tree", ast.Module, ast.Expression)
_NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)


def parse_module(source: str) -> ast.Module | None:
    """Return the syntax tree of a module, or None if the text is not Python. Never warns, never raises."""
    return _quietly(source, "exec", ast.Module)


def syntax_problem(source: str) -> str | None:
    """Return where and why a module is not Python, as in ``line 3: invalid syntax``, or None if it is. Never raises.

    The text may quote the module: it is as little to be trusted.
    """
    try:
        _parse(source, "exec")
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
    except _NOT_PYTHON as error:
        return str(error) or type(error).__name__
    return None


def parse_expression(source: str) -> ast.expr | None:
    """Return the syntax tree of one expression, or None if the text is not one. Never warns, never raises."""
    tree = _quietly(source.strip(), "eval", ast.Expression)
    return None if tree is None else tree.body


def _quietly(source: str, mode: str, kind: type[_Tree]) -> _Tree | None:
    try:
        tree = _parse(source, mode)
    except _NOT_PYTHON:
        return None
    return tree if isinstance(tree, kind) else None


def _parse(source: str, mode: str) -> ast.AST:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, mode=mode)
