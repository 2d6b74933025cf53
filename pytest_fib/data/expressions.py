"""Arithmetic over axis names, as in shapes, ``expr`` axes and constraints. Nothing is ever executed."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping

from pytest_fib.data.syntax import parse_expression
from pytest_fib.data.text import escape, show
from pytest_fib.errors import DataError

LARGEST = 2**63 - 1
"""No value, intermediate or final, may be larger in magnitude: it would not fit an int64."""

_LIMIT = 400
_TOKENS = re.compile(r"(?:\s+|[A-Za-z_][A-Za-z0-9_]*|[0-9]{1,19}(?![A-Za-z0-9_])|//|[-+*/%()])*", re.ASCII)


def names(expression: str) -> frozenset[str]:
    """Return the axis names that ``expression`` uses.

    Raises
    ------
    DataError
        The text is not arithmetic over names and integers with ``+ - * / // %`` and parentheses.
    """
    return frozenset(node.id for node in ast.walk(_parse(expression)) if isinstance(node, ast.Name))


def evaluate(expression: str, axes: Mapping[str, int]) -> int:
    """Return the integer value of ``expression`` with the given axis values.

    ``/`` must divide without remainder; every intermediate value must fit an int64.

    Raises
    ------
    DataError
        The text is not such an expression, an axis has no value, or a value is out of range.
    """
    try:
        return _value(_parse(expression), axes)
    except ArithmeticError as error:
        raise DataError(f"'{escape(expression, 60)}' has no value here: {error}") from None


def holds(constraint: str, axes: Mapping[str, int]) -> bool | None:
    """Return whether a constraint on axes is met; None if it speaks of anything else (tensors, calls)."""
    tree = parse_expression(constraint) if len(constraint) <= _LIMIT else None
    if tree is None:
        return None
    try:
        return _truth(tree, axes)
    except (DataError, ArithmeticError):
        return None


def _exact_division(left: int, right: int) -> int:
    if left % right:
        raise ArithmeticError(f"{left} / {right} is not a whole number")
    return left // right


_BINARY: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _exact_division,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ALLOWED = (ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.UAdd, ast.USub, *_BINARY)


def _parse(expression: str) -> ast.expr:
    tree = None
    if len(expression) <= _LIMIT and _TOKENS.fullmatch(expression):
        tree = parse_expression(expression)
    if tree is None:
        raise DataError(f"'{escape(expression, 60)}' is not arithmetic over axis names")
    if not all(isinstance(node, _ALLOWED) for node in ast.walk(tree)):
        raise DataError(f"'{escape(expression, 60)}' uses more than + - * / // % and parentheses")
    return tree


def _value(node: ast.expr, axes: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return _bounded(node.value)
    if isinstance(node, ast.Name):
        if node.id not in axes:
            raise DataError(f"axis '{escape(node.id, 60)}' has no value")
        return _bounded(axes[node.id])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        operand = _value(node.operand, axes)
        return operand if isinstance(node.op, ast.UAdd) else -operand
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _bounded(_BINARY[type(node.op)](_value(node.left, axes), _value(node.right, axes)))
    raise DataError(f"{type(node).__name__} is not arithmetic over axis names")


def _bounded(value: int) -> int:
    if abs(value) > LARGEST:
        raise ArithmeticError(f"{show(value)} does not fit 64 bits")
    return value


def _truth(node: ast.expr, axes: Mapping[str, int]) -> bool:
    if isinstance(node, ast.BoolOp):
        values = [_truth(value, axes) for value in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _truth(node.operand, axes)
    if not isinstance(node, ast.Compare):
        raise DataError("a constraint compares values")
    operands = [_value(operand, axes) for operand in (node.left, *node.comparators)]
    verdicts = list(map(_compare, node.ops, operands, operands[1:]))
    return all(verdicts)


def _compare(op: ast.cmpop, left: int, right: int) -> bool:
    if type(op) not in _COMPARE:
        raise DataError("a constraint compares integers")
    return _COMPARE[type(op)](left, right)
