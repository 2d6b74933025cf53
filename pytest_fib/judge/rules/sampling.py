"""The rule for samplers: every draw is in the support, and all draws together are what the probabilities say.

Draws cannot be compared with the reference's, so the probability integral transform makes numbers of them that can
be judged: with tokens in some order, ``u = F(before x) + U * p(x)``, F being the sum of the probabilities of tokens
before x and U uniform and secret, is uniform if and only if x has the distribution p, for every p, and different
draws give independent numbers. So the draws of all calls and rows are pooled, whatever their inputs were, and a test
of uniformity has a false-rejection rate that is known for any vocabulary and any number of draws.

Two orders see different mistakes: from the most probable token on (a temperature, the argmax, a distribution that is
uniform), and by index (a scan that ends too early or never). In each, three questions are asked: are the numbers
uniform, and are the differences (modulo 1) between rows of a call, and between calls, which they are if and only if
draws are independent. A solution that is right fails a workload with a probability of at most ``FALSE_REJECTION``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pytest_fib.data.evaluation import Mismatch
from pytest_fib.errors import NotJudgeable
from pytest_fib.judge.rules.elements import Comparison, Rule
from pytest_fib.judge.rules.verifier import Calls, Inputs
from pytest_fib.measure.uniformity import Unevenness, unevenness

FALSE_REJECTION = 1e-6
_PRACTICALLY_NEVER = 1e-9
"""How often a right sampler fails a workload, at most."""

_SLACK = 1e-3  # of cumulative probability, for sums in float32 and other orders of summation
_DRAWS = 2048  # so many make a sampler's mistakes visible
_MIN_CALLS, _MAX_CALLS = 64, 2048
_HEAD = 1024  # tokens that are usually enough; sorting a whole vocabulary takes long

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Support:
    """The tokens of each row that may be drawn, from the most probable on.

    Attributes
    ----------
    probs
        ``[rows, vocabulary]``.
    values, tokens
        ``[rows, n]``: probabilities in descending order (float64), and whose they are.
    kept
        ``[rows]``: how many of them the filters keep.
    last, least
        ``[rows]``: the probability of the last token kept, and of the last that may be drawn all the same, because
        sums in float32 differ.
    tied
        ``[rows]``: whether tokens that are not kept are as probable as the last one, so that it is free which of
        them are.
    """

    probs: torch.Tensor
    values: torch.Tensor
    tokens: torch.Tensor
    kept: torch.Tensor
    last: torch.Tensor
    least: torch.Tensor
    tied: torch.Tensor

    def allows(self, samples: torch.Tensor) -> torch.Tensor:
        """Return for each row whether ``samples`` ``[rows]`` is a token that may be drawn."""
        known = (samples >= 0) & (samples < self.probs.shape[1])
        chances = self._chances(samples)
        return known & (chances >= self.least) & (chances > 0)

    def transform(self, samples: torch.Tensor, random: np.random.Generator) -> tuple[Numbers, Numbers]:
        """Return the probability integral transforms of allowed ``samples``, tokens ordered by probability, by index.

        Tokens that are as probable as the last one, where it is free which of them are kept, count as one token,
        which is the last in both orders.
        """
        chances = self._chances(samples)[:, None]
        free = self.tied[:, None] & (self.values == self.last[:, None])
        kept = torch.arange(self.values.shape[1]) < self.kept[:, None]
        masses = torch.where(kept, self.values, 0.0)
        single = torch.where(free, 0.0, masses)
        total, rest = masses.sum(dim=1), (masses - single).sum(dim=1)
        is_free = self.tied & (chances[:, 0] == self.last)
        width = torch.where(is_free, rest, chances[:, 0])
        found = self.tokens == samples[:, None]
        place = torch.where(found.any(dim=1), found.int().argmax(dim=1), 0)
        falling = (single * (torch.arange(single.shape[1]) < place[:, None])).sum(dim=1)
        indexed = (single * (self.tokens < samples[:, None])).sum(dim=1)
        inside = torch.from_numpy(random.random((3, len(samples))))
        beyond = chances[:, 0] < self.last  # within the slack: says nothing
        numbers = [
            torch.where(
                beyond,
                inside[1 + order],
                (torch.where(is_free, total - rest, before) + inside[0] * width) / total,
            )
            for order, before in enumerate((falling, indexed))
        ]
        return numbers[0].clamp(0, 1).numpy(), numbers[1].clamp(0, 1).numpy()

    def _chances(self, samples: torch.Tensor) -> torch.Tensor:
        places = samples.clamp(0, self.probs.shape[1] - 1)[:, None]
        return self.probs.gather(1, places)[:, 0].double()


def support(probs: torch.Tensor, top_k: torch.Tensor | None, top_p: torch.Tensor | None) -> Support:
    """Return what the filters keep: the ``top_k`` largest, renormalised, and of these the ``top_p`` nucleus.

    Parameters
    ----------
    probs
        ``[rows, vocabulary]``, not necessarily of sum one.
    top_k
        ``[rows]`` integers; no filter where it is not in [1, vocabulary).
    top_p
        ``[rows]``: the smallest prefix whose sum exceeds it is kept, the crossing token included; the most probable
        token alone where it is 0 or less, no filter where it is 1 or more.
    """
    size = probs.shape[1]
    positive = (probs > 0).sum(dim=1).clamp(min=1)
    limit = torch.full_like(positive, size)
    if top_k is not None:
        limit = torch.where((top_k > 0) & (top_k < size), top_k.to(limit.dtype), limit)
    for count in sorted({min(_HEAD, size), size}):
        values, tokens = probs.topk(count, dim=1)
        values = values.double()
        kept = loose = limit.minimum(positive)
        if top_p is not None:
            sums = values.cumsum(dim=1)
            if top_k is not None:
                whole = probs.sum(dim=1, dtype=torch.float64)
                part = sums.gather(1, (limit - 1).clamp(max=count - 1)[:, None])[:, 0]
                sums = sums / torch.where(limit < size, part, whole)[:, None]
            kept, loose = (_nucleus(sums, kept, top_p.double(), slack) for slack in (0.0, _SLACK))
        if bool(((loose < count) & ((limit <= count) | (limit == size))).all()):
            break
    last = values.gather(1, kept[:, None] - 1)[:, 0]
    least = values.gather(1, loose[:, None] - 1)[:, 0]
    width = int(kept.max())
    values, tokens = values[:, :width], tokens[:, :width]
    kept_equal = ((values == last[:, None]) & (torch.arange(width) < kept[:, None])).sum(dim=1)
    equal = (probs == last[:, None].to(probs.dtype)).sum(dim=1)
    return Support(probs, values, tokens, kept, last, least, equal > kept_equal)


def _nucleus(sums: torch.Tensor, kept: torch.Tensor, top_p: torch.Tensor, slack: float) -> torch.Tensor:
    """Return the lengths of the shortest prefixes whose ``sums`` exceed ``top_p``, at most ``kept``."""
    count = (sums <= (top_p + slack)[:, None]).sum(dim=1) + 1
    count = torch.where(top_p <= 0, 1, count)
    return torch.where(top_p >= 1, kept, count.minimum(kept))


@dataclass
class Draws:
    """The numbers that were made of all draws so far, ``[rows]`` of each call, in one order of tokens."""

    order: str
    numbers: list[Numbers] = field(default_factory=list)

    def questions(self, random: np.random.Generator) -> Iterator[tuple[str, Numbers]]:
        """Yield numbers that are independent and uniform if the draws are right, each with what it would show.

        Differences modulo 1 along a path of independent uniform numbers are independent and uniform themselves.
        """
        if not self.numbers:
            return
        table = np.stack(self.numbers)
        yield f"draws in the order of {self.order}", table.ravel()
        paths = {
            "neighbouring rows": np.diff(table, axis=1),
            "rows": np.diff(random.permuted(table, axis=1), axis=1),
            "calls": np.diff(table, axis=0),
        }
        for among, differences in paths.items():
            yield f"differences between {among} in the order of {self.order}", (differences % 1.0).ravel()


class Sampling:
    """Remembers what was drawn in every verified call."""

    on_device = False  # its statistics are numpy's

    def __init__(self, rule: Rule, random: np.random.Generator) -> None:
        self.rule = rule
        self._random = random
        self._draws = (Draws("probability"), Draws("index"))
        self._output = ""
        self._rows = 1
        self._last: tuple[Inputs, Support] | None = None

    def compare(self, calls: Calls) -> Comparison:
        """Check that every sample is in the support, and remember it."""
        ((self._output, got),) = calls.got.items()
        result = Comparison.nothing()
        if not got.numel():
            self._rows = 0
            return result
        for position, number in enumerate(calls.numbers):
            known = self._support(calls.inputs[position])
            for right in calls.expected[position]:
                _check_fit(known, right)
            result = result.merge(self._one(known, got[position], number))
        return result

    def _one(self, known: Support, got: torch.Tensor, number: int) -> Comparison:
        samples = got.reshape(-1).to(torch.int64)
        self._rows = len(samples)
        allowed = known.allows(samples)
        if bool(allowed.all()):
            for draws, numbers in zip(self._draws, known.transform(samples, self._random), strict=True):
                draws.numbers.append(numbers)
            return Comparison.nothing()
        row = int((~allowed).int().argmax())
        outside = int((~allowed).sum())
        sentence = (
            f"{outside} of {len(samples)} samples are not among the tokens that may be drawn; row {row} has token "
            f"{int(samples[row])}, {_standing(known, row, int(samples[row]))}"
        )
        mismatch = _mismatch(
            self._output, number, "samples outside of the support", sentence, outside, len(samples)
        )
        # Tokens have no distance from each other.
        return Comparison(math.inf, math.inf, mismatch.matched_ratio, mismatch)

    def further_calls(self, seen: int) -> int:
        """Ask for calls until the draws are many enough to see what is wrong with them."""
        if not self._rows:
            return 0
        wanted = min(_MAX_CALLS, max(_MIN_CALLS, math.ceil(_DRAWS / self._rows)))
        return max(0, wanted - seen)

    def conclude(self) -> Comparison:
        """Judge all draws together."""
        questions = [pair for draws in self._draws for pair in draws.questions(self._random)]
        findings = [(unevenness(numbers), what, len(numbers)) for what, numbers in questions]
        if not findings:
            return Comparison.nothing()
        worst, what, count = min(findings, key=lambda finding: finding[0].chance)
        if worst.chance >= FALSE_REJECTION / len(findings):
            return Comparison.nothing()
        mismatch = _mismatch(
            self._output, 0, "samples do not have the distribution", _unlikely(worst, what, count), 0, count
        )
        return Comparison(0.0, 0.0, 1.0, mismatch)

    def _support(self, inputs: Inputs) -> Support:
        if self._last is None or not _equal(self._last[0], inputs):
            probs = inputs.get("probs")
            filters = [inputs.get(name) for name in ("top_k", "top_p")]
            if not isinstance(probs, torch.Tensor) or probs.ndim != 2 or not probs.numel():
                raise NotJudgeable(
                    "the rule 'sampling' needs an input 'probs' with rows of probabilities: choose another rule with "
                    "the ini option fib_rules"
                )
            kept = {name: _copied(value) for name, value in inputs.items()}
            rows = [None if value is None else _per_row(value, len(probs)) for value in filters]
            self._last = kept, support(kept["probs"], *rows)
        return self._last[1]


def _check_fit(known: Support, right: torch.Tensor) -> None:
    """Raise NotJudgeable if the reference itself draws what it must not: then it means something else."""
    if right.numel() != len(known.probs) or not bool(known.allows(right.reshape(-1).to(torch.int64)).all()):
        raise NotJudgeable(
            "the rule 'sampling' does not fit this definition, whose reference draws other tokens than it allows: "
            "choose another rule with the ini option fib_rules"
        )


def _standing(known: Support, row: int, token: int) -> str:
    if not 0 <= token < known.probs.shape[1]:
        return f"and the vocabulary has {known.probs.shape[1]}"
    chances = known.probs[row]
    above = chances > chances[token]
    return (
        f"of probability {float(chances[token]):.3g}: {int(above.sum())} tokens, of "
        f"{float(chances[above].sum()):.4g} in all, are more probable, and {int(known.kept[row])} are kept"
    )


def _unlikely(worst: Unevenness, what: str, count: int) -> str:
    return (
        f"of {count} {what}, {worst.seen} are in [{worst.low:g}, {worst.high:g}) of the distribution function, where "
        f"{worst.expected:.0f} are expected; a right sampler is as uneven {_how_rarely(worst.chance)}"
    )


def _how_rarely(chance: float) -> str:
    """A probability as one says it: nobody can picture 1e-321."""
    if chance < _PRACTICALLY_NEVER:
        return "practically never (less than once in a billion workloads)"
    return f"once in {1 / chance:,.0f} workloads"


def _mismatch(output: str, call: int, problem: str, sentence: str, failed: int, total: int) -> Mismatch:
    return Mismatch(
        output=output,
        call=call,
        problem=problem,
        failed=failed,
        total=total,
        atol=0.0,
        rtol=0.0,
        rule="it may not be drawn",
        required_matched_ratio=1.0,
        matched_ratio=1.0 - failed / max(1, total),
        sentence=sentence,
    )


def _per_row(value: Any, rows: int) -> torch.Tensor:
    """Return a filter as one value per row; a scalar is for all rows."""
    tensor = torch.as_tensor(value).reshape(-1)
    return tensor.expand(rows) if tensor.numel() == 1 else tensor


def _copied(value: Any) -> Any:
    # The inputs of a call may lie where those of the next one will.
    return value.clone() if isinstance(value, torch.Tensor) else value


def _equal(left: Inputs, right: Inputs) -> bool:
    return left.keys() == right.keys() and all(
        torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other  # type: ignore[arg-type]
        for value, other in zip(left.values(), (right[name] for name in left), strict=True)
    )
