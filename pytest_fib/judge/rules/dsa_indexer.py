"""The rule for indexers that choose tokens by score: the choice has to be as good as the reference's.

Order is free, and so is which of equal or nearly equal scores is chosen. Every slot has to be one of the sequence's
own tokens, reachable through its block table, and none may come twice. Then the scores of what was chosen, sorted,
are compared with those of the reference's choice within tolerance. A place that is left empty (negative) counts as a
score of -inf, so that fewer tokens than the reference's fail.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from pytest_fib.data.evaluation import Mismatch
from pytest_fib.errors import NotJudgeable
from pytest_fib.judge.rules.elements import Comparison, Rule, compare
from pytest_fib.judge.rules.verifier import Calls, Inputs

_INPUTS = {"q_index_fp8": 3, "k_index_cache_fp8": 4, "weights": 2, "seq_lens": 1, "block_table": 2}
_SCALE_BYTES = 4


class Problem:
    """The tokens of every sequence of one call, and their scores.

    ``inputs`` are those of the official definition: queries ``[batch, heads, dim]``, the cache ``[pages, page_size,
    1, dim + 4]`` (bytes: page_size rows of dim fp8 numbers, then one float32 scale each), weights ``[batch, heads]``,
    lengths ``[batch]`` and the block table ``[batch, width]``.

    Raises
    ------
    NotJudgeable
        If one of these is missing or has another number of dimensions.
    """

    def __init__(self, inputs: Inputs) -> None:
        tensors = {name: inputs.get(name) for name in _INPUTS}
        for name, tensor in tensors.items():
            if not isinstance(tensor, torch.Tensor) or tensor.ndim != _INPUTS[name]:
                raise NotJudgeable(
                    f"the rule 'dsa_indexer' needs an input '{name}' of {_INPUTS[name]} dimensions: choose another "
                    "rule with the ini option fib_rules"
                )
        self._tensors: dict[str, torch.Tensor] = tensors  # type: ignore[assignment]
        self.page_size = self._tensors["k_index_cache_fp8"].shape[1]

    def scores(self, row: int, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return of each of ``slots`` ``[n]`` its score (float32) and whether it is a token of sequence ``row``."""
        length = int(self._tensors["seq_lens"][row])
        pages = self._tensors["block_table"][row, : -(-length // self.page_size)].long()
        known = (pages >= 0) & (pages < len(self._tensors["k_index_cache_fp8"]))
        pages = torch.where(known, pages, 0)
        place = torch.arange(len(pages)) * self.page_size
        page, offset = slots.long() // self.page_size, slots.long() % self.page_size
        position = place + offset[:, None]
        found = (pages == page[:, None]) & known & (position < length) & (slots >= 0)[:, None]
        reachable = found.any(dim=1)
        if not bool(reachable.any()):
            return torch.zeros(len(slots)), reachable
        first = position.gather(1, found.int().argmax(dim=1, keepdim=True))[:, 0]
        all_scores = self._tensors["weights"][row] @ torch.relu(
            self._tensors["q_index_fp8"][row].float() @ self._keys(pages).T
        )
        return torch.where(reachable, all_scores[torch.where(reachable, first, 0)], 0.0), reachable

    def _keys(self, pages: torch.Tensor) -> torch.Tensor:
        """Return the keys of ``pages`` as float32 ``[pages * page_size, dim]``."""
        runs = self._tensors["k_index_cache_fp8"][pages].flatten(1)
        width = runs.shape[1] // self.page_size - _SCALE_BYTES
        numbers = runs[:, : self.page_size * width].contiguous().view(torch.float8_e4m3fn)
        scales = runs[:, self.page_size * width :].contiguous().view(torch.float32)
        return numbers.view(-1, width).float() * scales.view(-1, 1)


class Indexer:
    """Compares sorted scores; remembers nothing."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def compare(self, calls: Calls) -> Comparison:
        """Judge what was chosen in all calls."""
        result = Comparison.nothing()
        ((output, got),) = calls.got.items()
        for position, number in enumerate(calls.numbers):
            problem = Problem(calls.inputs[position])
            (expected,) = calls.expected[position]
            result = result.merge(self._one(problem, output, got[position], expected, number))
        return result

    def _one(
        self, problem: Problem, output: str, got: torch.Tensor, expected: torch.Tensor, number: int
    ) -> Comparison:
        right = torch.full(expected.shape, -math.inf)
        left = right.clone()
        for row in range(len(expected)):
            wrong = _chosen(problem, row, expected[row], right[row])
            if wrong:
                raise NotJudgeable(
                    f"the rule 'dsa_indexer' does not fit this definition, in whose reference {wrong}: choose "
                    "another rule with the ini option fib_rules"
                )
            wrong = _chosen(problem, row, got[row], left[row])
            if wrong:
                mismatch = self._invalid(output, number, wrong, len(expected))
                return Comparison(math.inf, math.inf, mismatch.matched_ratio, mismatch)
        found = compare(f"scores of {output}, sorted", left[None], [right], self.rule, [number])
        if found.mismatch is None or math.isfinite(found.mismatch.got or 0.0):
            return found
        return replace(found, mismatch=replace(found.mismatch, problem="fewer tokens than the reference's"))

    def _invalid(self, output: str, number: int, wrong: str, rows: int) -> Mismatch:
        return Mismatch(
            output=output,
            call=number,
            problem="a choice that is not valid",
            failed=1,
            total=rows,
            atol=self.rule.atol,
            rtol=self.rule.rtol,
            rule=self.rule.words(),
            required_matched_ratio=self.rule.required_matched_ratio,
            matched_ratio=1.0 - 1 / rows,
            sentence=f"in call {number} {wrong}",
        )

    def further_calls(self, seen: int) -> int:
        """Every call says all that it has to say."""
        return 0

    def conclude(self) -> Comparison:
        """Nothing is left to be said."""
        return Comparison.nothing()


def _chosen(problem: Problem, row: int, slots: torch.Tensor, scores: torch.Tensor) -> str:
    """Fill ``scores`` with those of the chosen ``slots`` of one row, sorted; return what is wrong with the choice."""
    taken = slots[slots >= 0]
    twice = taken.sort().values
    twice = twice[1:][twice[1:] == twice[:-1]]
    if twice.numel():
        return f"row {row} has slot {int(twice[0])} twice"
    found, reachable = problem.scores(row, taken)
    if not bool(reachable.all()):
        slot = int(taken[~reachable][0])
        return f"row {row} has slot {slot}, which is none of the tokens of its sequence"
    scores[: len(found)] = found.sort(descending=True).values
    return ""
