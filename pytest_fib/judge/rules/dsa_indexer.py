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
_BLOCK_BYTES = 128 << 20  # of keys and products that are there at once
_NOWHERE = 1 << 40  # behind the end of every sequence


class Problem:
    """The tokens of every sequence of one call, and their scores, computed where the inputs are.

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
        found, reachable = self._of_rows(slice(row, row + 1), slots[None])
        return found[0], reachable[0]

    def all_scores(self, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the same of ``slots`` ``[batch, n]``, each row's being of its own sequence."""
        step = max(1, _BLOCK_BYTES // max(1, self._bytes_per_row))
        parts = [
            self._of_rows(slice(first, first + step), slots[first : first + step])
            for first in range(0, len(slots), step)
        ]
        return torch.cat([found for found, _ in parts]), torch.cat([reachable for _, reachable in parts])

    @property
    def _bytes_per_row(self) -> int:
        """Bytes that the keys of one sequence, with their products, and its places of pages take at most."""
        heads, dim = self._tensors["q_index_fp8"].shape[1:]
        tokens = self._tensors["block_table"].shape[1] * self.page_size
        return 4 * tokens * (2 * dim + heads) + 8 * len(self._tensors["k_index_cache_fp8"])

    def _of_rows(self, rows: slice, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        lengths = self._tensors["seq_lens"][rows].long()
        table = self._tensors["block_table"][rows].long()
        columns = int(((lengths + self.page_size - 1) // self.page_size).max())
        table = table[:, : max(0, columns)]
        if not table.numel() or not len(self._tensors["k_index_cache_fp8"]):
            return torch.zeros(slots.shape, device=slots.device), torch.zeros_like(slots, dtype=torch.bool)
        position = self._positions(table, slots.long())
        reachable = (slots >= 0) & (position < lengths[:, None])
        scores = self._scores(rows, table)
        found = scores.gather(1, torch.where(reachable, position, 0))
        return torch.where(reachable, found, 0.0), reachable

    def _positions(self, table: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """Return where ``slots`` ``[rows, n]`` stand in their sequences; a large number where they do not.

        Of a page that the table names several times the first place counts: no other makes more of it reachable.
        """
        pages = len(self._tensors["k_index_cache_fp8"])
        columns = torch.arange(table.shape[1], device=table.device).expand_as(table)
        known = (table >= 0) & (table < pages)
        # The inverse of the table: one place per page, and one more for all that are none.
        places = torch.full((len(table), pages + 1), _NOWHERE, device=table.device)
        places.scatter_reduce_(
            1, torch.where(known, table, pages), torch.where(known, columns, _NOWHERE), "amin"
        )
        page = (slots // self.page_size).clamp_(0, pages)
        return places.gather(1, page) * self.page_size + slots % self.page_size

    def _scores(self, rows: slice, table: torch.Tensor) -> torch.Tensor:
        """Return the scores of all tokens of the pages in ``table``, float32 ``[rows, tokens]``."""
        cache = self._tensors["k_index_cache_fp8"].flatten(1)
        queries = self._tensors["q_index_fp8"][rows].float()
        pages = torch.where((table >= 0) & (table < len(cache)), table, 0).flatten()
        middle = cache.shape[1] - self.page_size * _SCALE_BYTES
        numbers = cache[:, :middle].index_select(0, pages).view(torch.float8_e4m3fn).float()
        scales = cache[:, middle:].index_select(0, pages).view(torch.float32)
        keys = numbers.view(*scales.shape, -1).mul_(scales[..., None]).view(len(table), -1, queries.shape[2])
        products = torch.bmm(queries, keys.transpose(1, 2)).relu_()
        return torch.bmm(self._tensors["weights"][rows, None].float(), products)[:, 0]


class Indexer:
    """Compares sorted scores; remembers nothing."""

    on_device = True

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
        if not expected.numel():
            return Comparison.nothing()
        # Side by side, so that the keys of a sequence are looked up once.
        chosen = torch.stack([expected, got], dim=1)  # [rows, 2, n]
        found, reachable = problem.all_scores(chosen.flatten(1))
        taken = chosen >= 0
        in_order = chosen.sort(dim=2).values
        twice = (in_order[..., 1:] == in_order[..., :-1]) & (in_order[..., 1:] >= 0)
        wrong = twice.any(dim=2) | (taken & ~reachable.view_as(taken)).any(dim=2)
        for row, side in wrong.nonzero().tolist():
            words = _wrong(problem, row, chosen[row, side])
            if side == 0:
                raise NotJudgeable(
                    f"the rule 'dsa_indexer' does not fit this definition, in whose reference {words}: choose "
                    "another rule with the ini option fib_rules"
                )
            mismatch = self._invalid(output, number, words, len(expected))
            return Comparison(math.inf, math.inf, mismatch.matched_ratio, mismatch)
        scores = torch.where(taken, found.view_as(taken), -math.inf).sort(dim=2, descending=True).values
        right, left = scores.unbind(dim=1)
        seen = compare(f"scores of {output}, sorted", left[None], [right], self.rule, [number])
        if seen.mismatch is None or math.isfinite(seen.mismatch.got or 0.0):
            return seen
        return replace(seen, mismatch=replace(seen.mismatch, problem="fewer tokens than the reference's"))

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


def _wrong(problem: Problem, row: int, slots: torch.Tensor) -> str:
    """Return what is wrong with the ``slots`` ``[n]`` that were chosen in one row, in which something is."""
    taken = slots[slots >= 0]
    twice = taken.sort().values
    twice = twice[1:][twice[1:] == twice[:-1]]
    if twice.numel():
        return f"row {row} has slot {int(twice[0])} twice"
    _, reachable = problem.scores(row, taken)
    return f"row {row} has slot {int(taken[~reachable][0])}, which is none of the tokens of its sequence"
