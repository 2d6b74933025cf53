"""Which definition is judged by which rule. The first line that fits wins; lines of the ini come before these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_fib.data.definition import Definition
from pytest_fib.judge.config import Tolerance
from pytest_fib.judge.rules.default import Default
from pytest_fib.judge.rules.dsa_indexer import Indexer
from pytest_fib.judge.rules.elements import Rule
from pytest_fib.judge.rules.sampling import Sampling
from pytest_fib.judge.rules.verifier import Verifier
from pytest_fib.rule_lines import RuleLine

# Low-bit kernels quantise intermediate results; the official rule lets one element in twenty differ.
_MATCHED_RATIO = 0.95

TABLE = (
    RuleLine("gdn_mtp_*", "default", in_place=("intermediate_states_buffer",)),
    RuleLine("dsa_sparse_attention_*", "dsa_attention"),
    RuleLine("dsa_topk_indexer*", "dsa_indexer"),
    RuleLine("moe", "matched_ratio"),
    RuleLine("sampling", "sampling"),
    RuleLine("*", "default"),
)


@dataclass(frozen=True)
class Choice:
    """The rule of one definition with nothing left open.

    Attributes
    ----------
    name
        The rule's name in ``pytest_fib.rule_lines.RULES``.
    rule
        The tolerances.
    in_place
        Inputs of the definition that the reference and the solution write.
    optional
        Outputs of the definition that a solution may leave out.
    """

    name: str
    rule: Rule
    in_place: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def elementwise(self) -> bool:
        """Whether a right output is the reference's up to rounding, so that a closer look makes sense."""
        return self.name in ("default", "matched_ratio", "dsa_attention")

    @property
    def varied(self) -> bool:
        """Whether other distributions of inputs can be judged by the tolerances alone."""
        return self.elementwise and not self.in_place and not self.optional

    def verifier(self, random: np.random.Generator) -> Verifier:
        """Return the rule, ready for one workload; ``random`` is secret."""
        if self.name == "sampling":
            return Sampling(self.rule, random)
        if self.name == "dsa_indexer":
            return Indexer(self.rule)
        return Default(self.rule)


def choose(definition: Definition, *overrides: Tolerance | None, lines: Sequence[RuleLine] = ()) -> Choice:
    """Return the rule of ``definition``; ``lines`` replace the table's, later ``overrides`` win."""
    op_type = definition.op_type
    line = next(line for line in (*lines, *TABLE) if line.fits(definition.name, op_type))
    optional = line.optional or (("lse",) if line.rule == "dsa_attention" else ())
    return Choice(
        line.rule,
        _rule_of(line, overrides),
        tuple(name for name in definition.inputs if name in line.in_place),
        tuple(name for name in definition.outputs if name in optional),
    )


def _rule_of(line: RuleLine, overrides: Sequence[Tolerance | None]) -> Rule:
    rule = Rule(required_matched_ratio=_MATCHED_RATIO) if line.rule == "matched_ratio" else Rule()
    own = Tolerance(line.formula, line.rtol, line.atol, line.required_matched_ratio, line.max_error_cap)
    for tolerance in (own, *overrides):
        if tolerance is None:
            continue
        given = {
            "name": tolerance.rule,
            "rtol": tolerance.rtol,
            "atol": tolerance.atol,
            "required_matched_ratio": tolerance.required_matched_ratio,
            "max_error_cap": tolerance.max_error_cap,
        }
        rule = replace(rule, **{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
    return rule
