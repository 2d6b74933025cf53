"""Mixture-of-experts layers.

Scales are positive, spread by a factor of three, and such that activations and outputs are of order one;
where weights carry no scale, the weights themselves are that small. Routing logits have a deviation of 1.5, as a
trained router's. Those of a narrow type are all different in each row: honest kernels disagree about ties.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from pytest_fib.inputs.recipes import Array, Normal, Problem, Recipe, Shape, Structured, Uniform
from pytest_fib.inputs.structured import rules

# A routed expert adds about 0.36 (deviation of silu(gate) * up) times a routing weight of about 0.3 for each
# unit of the second scale; 4 makes sums of one or two local experts of order one.
_SECOND_GAIN = 4.0
_LOGIT_DEVIATION = 1.5
_NARROW = ("bfloat16", "float16")


def recipes(problem: Problem) -> dict[str, Recipe]:
    """Return recipes for logits, bias, scales, unscaled weights and packed routing."""
    hidden = problem.axes.get("hidden_size", 1)
    first = 1 / math.sqrt(max(1, hidden))
    second = _SECOND_GAIN / math.sqrt(max(1, problem.axes.get("intermediate_size", 1)))
    made: dict[str, Recipe] = {
        "routing_logits": Normal(_LOGIT_DEVIATION),
        "routing_bias": Normal(
            0.02
        ),  # as large as the differences between groups, so it matters but does not decide
        "hidden_states_scale": Uniform(0.5, 1.5),
        "gemm1_weights_scale": Uniform(0.5 * first, 1.5 * first),
        "gemm2_weights_scale": Uniform(0.5 * second, 1.5 * second),
        "output1_scales_scalar": Uniform(0.5 * first, 1.5 * first),
        "output1_scales_gate_scalar": Uniform(0.5 * first, 1.5 * first),
        "output2_scales_scalar": Uniform(0.5 * second, 1.5 * second),
    }
    if problem.dtypes.get("gemm1_weights", "").startswith(("float32", "float16", "bfloat16")):
        made |= {"gemm1_weights": Normal(first), "gemm2_weights": Normal(second)}
    if rules.has_ranks(problem, {"routing_logits": 2}) and problem.dtypes["routing_logits"] in _NARROW:
        made["routing_logits"] = Structured(
            lambda rng, lookup: _distinct_logits(rng, problem.shapes["routing_logits"])
        )
    if rules.has_ranks(problem, {"topk_ids": 2}) and _has_experts(problem):
        made["topk_ids"] = Structured(lambda rng, lookup: _packed_routing(rng, problem))
    return {name: recipe for name, recipe in made.items() if name in problem.shapes}


def _has_experts(problem: Problem) -> bool:
    return problem.axes.get("num_experts", 0) >= problem.shapes["topk_ids"][1]


def scalars(axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
    """Return an offset at a multiple of the number of local experts, and DeepSeek's scaling factor."""
    local = axes.get("num_local_experts", 1)
    shards = max(1, axes.get("num_experts", local) // max(1, local))
    return {"local_expert_offset": local * int(rng.integers(shards)), "routed_scaling_factor": 2.5}


def check(problem: Problem, given: Mapping[str, Array]) -> None:
    """Check that captured packed routing names experts that exist."""
    if "topk_ids" in given:
        experts = problem.axes.get("num_experts", 0)
        rules.check_range(problem, "topk_ids", given["topk_ids"] >> 16, 0, experts)


def _distinct_logits(rng: np.random.Generator, shape: Shape) -> Array:
    """Return rows of logits in random order, logistically distributed, no two of which are close in a row.

    The shares of the distribution that lie between neighbours differ from each other by a factor of up to three.
    """
    places = np.argsort(rng.random(shape), axis=1)
    shares = (places + rng.uniform(0.25, 0.75, shape)) / max(1, shape[1])
    logits: Array = (np.log(shares) - np.log1p(-shares)) * (_LOGIT_DEVIATION * math.sqrt(3) / math.pi)
    return logits


def _packed_routing(rng: np.random.Generator, problem: Problem) -> Array:
    """Return per token different experts, in the high half, and bfloat16 weights of sum one, in the low."""
    tokens, chosen = problem.shapes["topk_ids"]
    keys = rng.random((tokens, problem.axes["num_experts"]))
    experts = np.argsort(keys, axis=1)[:, :chosen]
    weights = rng.uniform(0.5, 1.5, (tokens, chosen)).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    packed: Array = experts << 16 | (weights.view(np.uint32) >> 16)
    return packed
