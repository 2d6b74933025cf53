"""The default rule: every output of every call equals the reference's, element by element, within tolerance.

Optional outputs (the ``lse`` of sparse attention) may be left out: by returning the others only, or, where outputs
are passed as arguments, by not writing them. What is written has to be right.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_fib.judge.rules.elements import Comparison, Rule, compare
from pytest_fib.judge.rules.verifier import Calls


class Default:
    """Compares element by element; remembers nothing."""

    on_device = True

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def compare(self, calls: Calls) -> Comparison:
        """Compare all outputs of all calls."""
        result = Comparison.nothing()
        for position, (name, got) in enumerate(calls.got.items()):
            given = _given(calls, name)
            if not given:
                continue
            expected = [calls.expected[index][position] for index in given]
            written = got if len(given) == len(calls.numbers) else got[given]
            numbers = [calls.numbers[index] for index in given]
            result = result.merge(compare(name, written, expected, self.rule, numbers))
        return result

    def further_calls(self, seen: int) -> int:
        """Every call says all that it has to say."""
        return 0

    def conclude(self) -> Comparison:
        """Nothing is left to be said."""
        return Comparison.nothing()


def _given(calls: Calls, name: str) -> Sequence[int]:
    """Return the positions of the calls in which the output was given."""
    if not calls.untouched:
        return range(len(calls.numbers))
    return [index for index, left in enumerate(calls.untouched) if name not in left]
