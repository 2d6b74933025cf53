"""The lines of the ini option ``fib_rules``: which definitions are judged by which rule, with which tolerances."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

RULES = ("default", "matched_ratio", "dsa_attention", "dsa_indexer", "sampling")
"""The rules by name."""


@dataclass(frozen=True)
class RuleLine:
    """Definitions and their rule; None means the rule's own value.

    Attributes
    ----------
    pattern
        A glob for the op type or the name of a definition.
    rule
        One of ``RULES``.
    formula
        When an element is out.
    in_place
        Inputs that the reference writes, and the solution has to write in the same way.
    optional
        Outputs that a solution may leave out.
    """

    pattern: str
    rule: str
    formula: Literal["flashinfer", "allclose"] | None = None
    rtol: float | None = None
    atol: float | None = None
    required_matched_ratio: float | None = None
    max_error_cap: float | None = None
    in_place: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def fits(self, definition: str, op_type: str) -> bool:
        """Whether the line speaks of a definition."""
        return fnmatchcase(definition, self.pattern) or fnmatchcase(op_type, self.pattern)


class RuleLineError(ValueError):
    """A line makes no sense; the message says what it should be."""

    def __init__(self, message: str, line: str) -> None:
        super().__init__(message)
        self.line = line


def parse_line(text: str) -> RuleLine:
    """Read ``PATTERN: RULE[, KEY=VALUE]...``, e.g. ``my_moe_*: matched_ratio, atol=0.1``.

    Raises
    ------
    RuleLineError
        If it cannot be read.
    """
    try:
        return _parsed(text)
    except ValueError as error:
        raise RuleLineError(str(error), text) from None


def _parsed(text: str) -> RuleLine:
    pattern, colon, rest = text.partition(":")
    rule, *pairs = (part.strip() for part in rest.split(","))
    if not colon or not pattern.strip():
        raise ValueError("it should begin with an op type or a definition's name (or a glob) and a colon")
    if rule not in RULES:
        raise ValueError(f"the rule should be one of {', '.join(RULES)}")
    return RuleLine(pattern.strip(), rule, **dict(map(_pair, pairs)))


def parse_lines(lines: Iterable[str]) -> tuple[RuleLine, ...]:
    """Read all lines that are not empty; RuleLineError as :func:`parse_line`."""
    return tuple(parse_line(line) for line in lines if line.strip())


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or key not in _VALUES:
        raise ValueError(f"a tolerance should be KEY=VALUE, with KEY one of {', '.join(_VALUES)}")
    return key, _VALUES[key](key, value)


def _number(accepts: Callable[[float], bool], meaning: str) -> Callable[[str, str], float]:
    def read(key: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not accepts(value):
            raise ValueError(f"{key} should be {meaning}")
        return value

    return read


def _names(key: str, text: str) -> tuple[str, ...]:
    if not text:
        raise ValueError(f"{key} should be names, with spaces between them")
    return tuple(text.split())


def _formula(key: str, text: str) -> str:
    if text not in ("flashinfer", "allclose"):
        raise ValueError(f"{key} should be flashinfer or allclose")
    return text


_TOLERANCE = _number(lambda x: 0 <= x < math.inf, "a number of at least 0")
_VALUES: dict[str, Callable[[str, str], Any]] = {
    "formula": _formula,
    "rtol": _TOLERANCE,
    "atol": _TOLERANCE,
    "required_matched_ratio": _number(lambda x: 0 < x <= 1, "a number above 0 and at most 1"),
    "max_error_cap": _TOLERANCE,
    "in_place": _names,
    "optional": _names,
}
