"""How the axes of a definition hang together: which are free, which follow, and what bounds each."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from pytest_fib.data import expressions
from pytest_fib.data.definition import ConstAxis, Definition, VarAxis
from pytest_fib.data.syntax import parse_expression
from pytest_fib.errors import DataError

_NO_SEQUENCE = (
    # Without a sequence there is nothing that a row could belong to.
    "total_q <= (len_indptr - 1) * 1048576",
    "total_kv <= (len_indptr - 1) * 1048576",
    "num_kv_indices <= (len_indptr - 1) * 1048576",
)
_PAGED = (
    "len_indptr == batch_size + 1",
    "len_indptr >= 1",
    *_NO_SEQUENCE,
    # The pages of a sequence are distinct.
    "num_pages >= (num_kv_indices + len_indptr - 2) // (len_indptr - 1)",
)
_RAGGED = ("len_indptr >= 1", *_NO_SEQUENCE)
UNSAID: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gqa_paged": _PAGED,
        "mla_paged": _PAGED,
        "gqa_ragged": _RAGGED,
        "mla_ragged": _RAGGED,
        "gdn": (
            "len_cu_seqlens == num_seqs + 1",
            "total_seq_len <= num_seqs * 1048576",
            "pool_size >= batch_size",
        ),
        "mamba_ssu": ("state_cache_size >= batch_size",),
        "dsa_paged": (
            "max_num_pages >= (topk + page_size - 1) // page_size",
            "num_pages >= max_num_pages",
            "num_pages >= 1",
        ),
        "rope": ("max_seq_len >= 1",),
    }
)
"""What definitions of an op type do not say about their axes, in the language of constraints.

One that speaks of an axis which a definition lacks does not concern it.
"""

End = Literal["least", "most"]

_OPERATORS = {ast.Eq: "==", ast.LtE: "<=", ast.GtE: ">=", ast.Lt: "<", ast.Gt: ">"}
_MIRRORED = {"==": "==", "<=": ">=", ">=": "<=", "<": ">", ">": "<"}
_ENDS: Mapping[str, tuple[End, int]] = MappingProxyType(
    {"<=": ("most", 0), ">=": ("least", 0), "<": ("most", -1), ">": ("least", 1)}
)


@dataclass(frozen=True)
class Relation:
    """``axis operator expression``, e.g. ``len_indptr == batch_size + 1``."""

    axis: str
    operator: str
    expression: str

    @property
    def names(self) -> frozenset[str]:
        """The axes on the right."""
        return expressions.names(self.expression)


class Axes:
    """The variable axes of ``definition`` as unknowns."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._variable = [name for name, axis in definition.axes.items() if isinstance(axis, VarAxis)]
        self._constant = {
            name: axis.value for name, axis in definition.axes.items() if isinstance(axis, ConstAxis)
        }
        unsaid = UNSAID.get(definition.op_type, ())
        self._relations = [
            relation
            for constraint in (*definition.constraints, *unsaid)
            for relation in relations(constraint)
            if relation.axis in self._variable and relation.names <= definition.axes.keys()
        ]

    @cached_property
    def following(self) -> Mapping[str, str]:
        """The axes whose size follows from others, with the expression that says it."""
        found: dict[str, str] = {}
        for relation in self._relations:
            depends = self._behind(relation.names, found)
            if relation.operator == "==" and relation.axis not in found and relation.axis not in depends:
                found[relation.axis] = relation.expression
        return found

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The other variable axes, in an order in which the bounds of each are known where that is possible."""
        left = [name for name in self._variable if name not in self.following]
        ordered: list[str] = []
        while left:
            ready = (name for name in left if not self._needs(name) & set(left) - {name})
            ordered.append(next(ready, left[0]))
            left.remove(ordered[-1])
        return tuple(ordered)

    def bounds(self, axis: str, known: Mapping[str, int]) -> tuple[int, int | None]:
        """Return the least and the greatest size of a free axis, as far as the known ones say; None: no bound."""
        sizes = self.sizes(known)
        ends: dict[End, list[int]] = {"least": [0], "most": []}
        for relation in self._relations:
            if relation.axis == axis and relation.operator in _ENDS and relation.names <= sizes.keys():
                end, step = _ENDS[relation.operator]
                try:
                    ends[end].append(expressions.evaluate(relation.expression, sizes) + step)
                except DataError:
                    continue  # a division by zero: then another relation speaks
        return max(ends["least"]), min(ends["most"], default=None)

    def complete(self, free: Mapping[str, int]) -> dict[str, int]:
        """Return all variable axes, in the definition's order, given the free ones.

        Raises
        ------
        DataError
            An axis that follows would be negative or no integer, or a constraint is violated.
        """
        sizes = self.sizes(free)
        axes = {name: sizes[name] for name in self._variable}
        broken = [text for text in self._conditions() if expressions.holds(text, sizes) is False]
        if broken or min(axes.values(), default=0) < 0:
            raise DataError(f"sizes {axes} violate {', '.join(broken) or 'nothing but are negative'}")
        return axes

    def sizes(self, known: Mapping[str, int]) -> dict[str, int]:
        """Return constants, known axes and what follows from them; raises DataError where that is no size."""
        sizes = {**self._constant, **known}
        waiting = {name: text for name, text in self.following.items() if name not in sizes}
        while True:
            ready = [name for name, text in waiting.items() if expressions.names(text) <= sizes.keys()]
            if not ready:
                return sizes
            for name in ready:
                sizes[name] = expressions.evaluate(waiting.pop(name), sizes)

    def _conditions(self) -> Iterator[str]:
        yield from self.definition.constraints
        for relation in self._relations:
            yield f"{relation.axis} {relation.operator} {relation.expression}"

    def _needs(self, axis: str) -> set[str]:
        """The free axes that have to be known before the bounds of ``axis`` are."""
        names = {name for relation in self._relations if relation.axis == axis for name in relation.names}
        return self._behind(names, self.following)

    def _behind(self, names: Iterable[str], following: Mapping[str, str]) -> set[str]:
        """Return ``names``, with what those among them follow from."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += expressions.names(following[name]) if name in following else ()
        return found


def relations(constraint: str) -> list[Relation]:
    """Return what a constraint says about single axes; nothing where it speaks of tensors or of anything else."""
    tree = parse_expression(constraint)
    if not isinstance(tree, ast.Compare) or len(tree.ops) != 1 or type(tree.ops[0]) not in _OPERATORS:
        return []
    operator = _OPERATORS[type(tree.ops[0])]
    left, right = tree.left, tree.comparators[0]
    sides = ((left, operator, right), (right, _MIRRORED[operator], left))
    found = []
    for axis, symbol, other in sides:
        if isinstance(axis, ast.Name) and _is_arithmetic(ast.unparse(other)):
            found.append(Relation(axis.id, symbol, ast.unparse(other)))
    return [relation for relation in found if relation.axis not in relation.names]


def _is_arithmetic(text: str) -> bool:
    try:
        expressions.names(text)
    except DataError:
        return False
    return True
