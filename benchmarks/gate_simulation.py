"""False alarms and power of the gate beside the usual rules, on made-up latencies of which the truth is known.

    python benchmarks/gate_simulation.py [--runs N]

Latencies have two levels of noise, as real ones have: processes differ (memory layout, cores), samples within one
differ, and beside both the machine drifts while time passes. Three machines are modelled: a quiet one, a virtual
one in a cloud, and a noisy one on which every twentieth process is bad.

Every rule sees a candidate that is 0, 3, 5 or 10 % slower than its baseline; what it says of 0 % are false alarms.

* gate: blocks of fresh processes side by side, 7 to 25 as their scatter asks for, two stages, margin 2 %;
* first stage at margin 0: the part of it whose rate of false alarms is known, 5 %;
* Mann-Whitney, median > 2 %, compare-fail: one run after the other, one process and 100 samples each. The last is
  pytest-benchmark's ``--benchmark-compare-fail=mean:5%``.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu

from pytest_fib.measure import gate

Samples = npt.NDArray[np.float64]

MARGIN = 0.02
SAMPLES = 100
BLOCK_SAMPLES = 20
EFFECTS = (0.0, 0.03, 0.05, 0.10)


@dataclass(frozen=True)
class Machine:
    """Standard deviations of logarithms; ``bad`` is the share of processes that take ``bad_by`` longer throughout."""

    process: float
    sample: float
    drift: float
    memory: float  # how much of the drift is left after a block
    bad: float = 0.0
    bad_by: float = 0.0


MACHINES = {
    "quiet": Machine(process=0.004, sample=0.01, drift=0.002, memory=0.9),
    "cloud": Machine(process=0.010, sample=0.03, drift=0.012, memory=0.9),
    "noisy": Machine(process=0.022, sample=0.08, drift=0.030, memory=0.8, bad=0.05, bad_by=0.15),
}


class Lab:
    """Makes latencies on one machine, as time passes."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self.machine = machine
        self.random = np.random.default_rng(seed)
        self.drift = self.random.normal(0, machine.drift)

    def process(self, effect: float, samples: int) -> Samples:
        """The samples of a fresh process that is slower by ``effect``."""
        level = np.log1p(effect) + self.drift + self.random.normal(0, self.machine.process)
        if self.random.random() < self.machine.bad:
            level += self.machine.bad_by
        # Latencies have a tail to the right: some samples take longer, none much less.
        noise = self.random.gamma(2.0, self.machine.sample / np.sqrt(2), samples)
        samples_ns: Samples = np.exp(level + noise)
        return samples_ns

    def wait(self) -> None:
        """Let the time of a block pass."""
        kept = self.machine.memory
        step = self.machine.drift * np.sqrt(1 - kept**2)
        self.drift = kept * self.drift + self.random.normal(0, step)

    def block(self, effect: float, number: int) -> float:
        """The log-ratio of block ``number``, in the order of ABBA BAAB."""
        ours_first = number.bit_count() % 2 == 0
        order = (effect, 0.0) if ours_first else (0.0, effect)
        first, second = (float(np.log(np.median(self.process(each, BLOCK_SAMPLES)))) for each in order)
        self.wait()
        return first - second if ours_first else second - first

    def stage(self, effect: float, least: int = gate.LEAST_BLOCKS) -> list[float]:
        """The log-ratios of a stage, as many as the scatter of the first seven asks for, but at least so many."""
        ratios = [self.block(effect, number) for number in range(gate.LEAST_BLOCKS)]
        wanted = max(least, gate.blocks_for(statistics.stdev(ratios), MARGIN))
        return ratios + [self.block(effect, number) for number in range(gate.LEAST_BLOCKS, wanted)]


def whole_gate(lab: Lab, effect: float) -> bool:
    """Whether both stages say SLOWER."""
    first = lab.stage(effect)
    if gate.find_first(first, MARGIN).verdict != "SLOWER":
        return False
    least = max(len(first), gate.blocks_for(gate.scatter_of(first), MARGIN))
    return gate.find_second(lab.stage(effect, least), MARGIN).verdict == "SLOWER"


def first_stage(lab: Lab, effect: float) -> bool:
    """Whether the first stage alone would say SLOWER without a margin."""
    return gate.find_first(lab.stage(effect), 0.0).verdict == "SLOWER"


def one_after_the_other(lab: Lab, effect: float) -> tuple[Samples, Samples]:
    """Samples of a run of the baseline and of a later one of the candidate."""
    old = lab.process(0.0, SAMPLES)
    for _ in range(10):
        lab.wait()
    return old, lab.process(effect, SAMPLES)


def mann_whitney(lab: Lab, effect: float) -> bool:
    """Whether the candidate's samples are larger, p < 0.05."""
    old, new = one_after_the_other(lab, effect)
    return bool(mannwhitneyu(new, old, alternative="greater").pvalue < 0.05)


def median_rule(lab: Lab, effect: float) -> bool:
    """Whether the median is more than 2 % higher."""
    old, new = one_after_the_other(lab, effect)
    return bool(np.median(new) > 1.02 * np.median(old))


def compare_fail(lab: Lab, effect: float) -> bool:
    """Whether pytest-benchmark's comparison of means fails at 5 %."""
    old, new = one_after_the_other(lab, effect)
    return bool(np.mean(new) > 1.05 * np.mean(old))


RULES: dict[str, Callable[[Lab, float], bool]] = {
    "gate": whole_gate,
    "first stage at margin 0": first_stage,
    "Mann-Whitney p < .05": mann_whitney,
    "median > 2 %": median_rule,
    "compare-fail=mean:5%": compare_fail,
}


def main() -> None:
    """Print a table for each machine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=400, help="comparisons for each number (default: 400)")
    runs = parser.parse_args().runs
    for name, machine in MACHINES.items():
        scatter = statistics.median(statistics.stdev(Lab(machine, seed).stage(0.0)) for seed in range(50))
        print(f"\n{name}: a block's ratio scatters by {scatter:.1%}; how often SLOWER, of {runs}")
        print(
            f"{'rule':26}"
            + "".join(f"{f'+{effect:.0%}' if effect else 'the same':>10}" for effect in EFFECTS)
        )
        for rule, says_slower in RULES.items():
            lab = Lab(machine, seed=1)
            rates = [sum(says_slower(lab, effect) for _ in range(runs)) / runs for effect in EFFECTS]
            print(f"{rule:26}" + "".join(f"{rate:>10.1%}" for rate in rates), flush=True)


if __name__ == "__main__":
    main()
