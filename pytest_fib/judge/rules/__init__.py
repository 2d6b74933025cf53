"""The judging rules: what counts as right. One module per rule; ``table`` says which definition has which.

``elements``
    The arithmetic: elements, tolerances, ratios, in the formulas ``flashinfer`` and ``allclose``.
``default``
    Every output, element by element; outputs that are optional may be left out.
``dsa_indexer``
    Chosen tokens: reachable, different, and as good as the reference's; their order and ties are free.
``sampling``
    Draws: in the support, of the right distribution, independent of each other.
"""

from pytest_fib.judge.rules.elements import Comparison, Rule, compare
from pytest_fib.judge.rules.table import Choice, choose
from pytest_fib.judge.rules.verifier import Calls, Verifier

__all__ = ["Calls", "Choice", "Comparison", "Rule", "Verifier", "choose", "compare"]
