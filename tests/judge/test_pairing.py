"""Two solutions side by side: order, inputs and verdicts with made-up clocks, and once with real processes."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pytest_fib.border.order import Order
from pytest_fib.data.evaluation import Evaluation, Gating, Timing
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.judge import JudgeSession, blocks, candidates
from pytest_fib.judge.arm import Arm
from pytest_fib.judge.bench import Bench, Request
from pytest_fib.judge.candidate import Interval
from pytest_fib.judge.failures import CandidateDied
from pytest_fib.judge.handover import Handover
from pytest_fib.judge.pairing import Pairing
from pytest_fib.judge.places import Contest, free_terms
from pytest_fib.judge.trials import PROCESSOR

from .conftest import CPP, HONEST, SCALE_ADD, Judge, in_call, solution, workload

OTHER = solution(HONEST + "\n# the baseline\n")
Latency = Callable[[str, int], float]


@dataclass
class Clock:
    """Stands in for candidates: ``latency(arm, block)`` is what all calls of a block take, in nanoseconds.

    ``seen`` has for each turn who served it, in which block, and the inputs of its first call; ``requests`` the calls
    of all requests of each block, in order. The arm ``wrong`` is wrong where inputs are not normal; ``varied`` has
    for each turn whether some are not.
    """

    latency: Latency
    seen: list[tuple[str, int, torch.Tensor]] = field(default_factory=list)
    requests: dict[tuple[str, int], list[tuple[Request, int]]] = field(default_factory=dict)
    level: dict[str, float] = field(default_factory=dict)
    wrong: str = ""
    varied: list[bool] = field(default_factory=list)

    def serve(
        self, arm: Arm, bench: Bench, candidate: None, requests: list[Request], verify: int | None
    ) -> list[Interval]:
        name = "theirs" if arm._loaded is OTHER else "ours"
        if bench.tally.calls == 0:
            number = sum(who == name for who, _ in self.requests)
            self.requests[name, number] = []
            self.level = {**self.level, name: self.latency(name, number)}
        number = max(block for who, block in self.requests if who == name)
        self.seen.append((name, number, bench.inputs.draw(bench.tally.calls)["x"].clone()))
        self.requests[name, number] += [(request, request.first) for request in requests]
        self.varied.append(bench.inputs.varied)
        if bench.inputs.varied and name == self.wrong:
            bench.tally.others.wrong += 1
        bench.tally.calls += sum(request.calls for request in requests)
        return [Interval(round(self.level[name] * request.calls)) for request in requests]

    @property
    def blocks(self) -> list[tuple[str, torch.Tensor]]:
        """Who began or continued each block, with the first inputs that it got there."""
        first = {(name, number): inputs for name, number, inputs in reversed(self.seen)}
        order = dict.fromkeys((name, number) for name, number, _ in self.seen)
        return [(name, first[name, number]) for name, number in order]


@pytest.fixture
def compared(
    session: JudgeSession, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Evaluation, Clock]]:
    """Compare with made-up latencies."""
    evaluation = Evaluation(
        definition=SCALE_ADD.name,
        op_type="test",
        workload="rows-4",
        axes={"rows": 4},
        solution="under_test",
        solution_hash="",
        status=EvaluationStatus.PASSED,
        timestamp="2026-01-01T00:00:00+00:00",
        timing=Timing(((0.1,) * 5,) * 5, 0.1, 0.001, 1, None),
        calls=100,
    )

    def probe(arm: Arm, bench: Bench) -> float:
        bench.tally.reference_ns.append(1000)
        return 100_000.0

    def compare(latency: Latency, wrong: str = "") -> tuple[Evaluation, Clock]:
        clock = Clock(latency, wrong=wrong)
        monkeypatch.setattr(Arm, "standing_by", lambda *_: nullcontext())
        monkeypatch.setattr(Arm, "serve", lambda *arguments: clock.serve(*arguments))
        monkeypatch.setattr(Arm, "probe", probe)
        monkeypatch.setattr(Arm, "handovers", lambda *_: (Handover(), Handover()))
        pair = Pairing(session, SCALE_ADD, workload(), solution(), None, OTHER, 0.02)
        return pair.compare(evaluation), clock

    return compare


def noisy(slowdown: float, scatter: float, seed: int = 1) -> Latency:
    draw = random.Random(seed)

    def latency(arm: str, block: int) -> float:
        return 1e5 * math.exp(draw.gauss(0, scatter / math.sqrt(2))) * (1 + slowdown * (arm == "ours"))

    return latency


def gating_of(evaluation: Evaluation) -> Gating:
    assert evaluation.gating is not None
    return evaluation.gating


class TestBlocks:
    def test_the_order_is_abba_baab_and_both_get_the_same_inputs(self, compared) -> None:
        _, clock = compared(noisy(0.0, 0.004))
        assert [name[0] for name, _ in clock.blocks] == list("ottotoottootot")
        contents = []
        for first, second in zip(clock.blocks[::2], clock.blocks[1::2], strict=True):
            assert torch.equal(first[1], second[1])
            contents.append(first[1])
        assert not any(torch.equal(a, b) for a, b in itertools.pairwise(contents))

    def test_the_two_of_a_block_take_turns_with_the_same_requests(self, compared) -> None:
        _, clock = compared(noisy(0.0, 0.004))
        turns = [(name, inputs) for name, number, inputs in clock.seen if number == 0]
        assert "".join(name[0] for name, _ in turns).startswith("ottotoot")
        for first, second in zip(turns[::2], turns[1::2], strict=True):
            assert torch.equal(first[1], second[1])
        assert clock.requests["ours", 0] == clock.requests["theirs", 0]

    def test_more_scatter_means_more_blocks(self, compared) -> None:
        counts = [
            len(gating_of(compared(noisy(0.0, s, 4))[0]).stages[0].candidate_ms) for s in (0.004, 0.02, 0.3)
        ]
        assert counts[0] == 7
        assert 7 < counts[1] < 25
        assert counts[2] == 25

    def test_calls_are_counted_with_those_of_the_evaluation(self, compared) -> None:
        evaluation, clock = compared(noisy(0.0, 0.004))
        made = [
            request.calls
            for (name, _), requests in clock.requests.items()
            if name == "ours"
            for request, _ in requests
        ]
        assert evaluation.calls == 100 + sum(made)

    def test_memory_tells_who_comes_next_nothing(self, session: JudgeSession) -> None:
        arms = [Arm(session, SCALE_ADD, workload(), loaded, None) for loaded in (solution(), OTHER)]
        inputs = arms[0].inputs()
        arena = arms[0].arena(inputs, arms[1])
        content = inputs.draw(0)
        arena.prepare([range(2)])
        arena.fill(0, range(2), [content, content])
        before = arena.take(range(2))
        arena.clear({1})
        assert torch.equal(arena.inputs_of(0)["x"], content["x"])
        assert not arena.inputs_of(1)["x"].any()
        after = arena.take(range(2))
        assert torch.equal(after[0], before[0])
        assert not torch.equal(after[1], before[1])
        arena.close()


class TestVerdicts:
    def test_slower_needs_two_stages_of_different_blocks(self, compared) -> None:
        evaluation, clock = compared(noisy(0.1, 0.005))
        gating = gating_of(evaluation)
        assert gating.verdict == "SLOWER"
        assert gating.fails()
        assert len(gating.stages) == 2
        contents = {tuple(inputs.flatten().tolist()) for _, inputs in clock.blocks}
        assert len(contents) == len(clock.blocks) // 2
        assert gating.ratio == pytest.approx(1.1, rel=0.01)
        assert gating.ratio_ci is not None
        assert gating.ratio_ci[0] < gating.ratio < gating.ratio_ci[1]
        assert gating.baseline_latency_ms == pytest.approx(0.1, rel=0.02)

    def test_what_only_the_first_stage_saw_is_not_slower(self, compared) -> None:
        draw = noisy(0.0, 0.004)
        gating = gating_of(compared(lambda arm, n: draw(arm, n) * (1.1 if arm == "ours" and n < 7 else 1))[0])
        assert len(gating.stages) == 2
        assert gating.verdict == "SAME"

    @pytest.mark.parametrize(("slowdown", "verdict"), [(0.0, "SAME"), (-0.1, "FASTER")])
    def test_one_stage_is_enough_otherwise(self, compared, slowdown: float, verdict: str) -> None:
        gating = gating_of(compared(noisy(slowdown, 0.005))[0])
        assert (gating.verdict, len(gating.stages), gating.fails(strict=True)) == (verdict, 1, False)

    def test_noise_is_ambiguous_and_fails_where_the_gate_is_strict(self, compared) -> None:
        gating = gating_of(compared(noisy(0.0, 0.3))[0])
        assert gating.verdict == "AMBIGUOUS"
        assert not gating.fails()
        assert gating.fails(strict=True)
        assert gating.detectable is not None
        assert gating.detectable > 0.1

    def test_noise_of_the_candidates_own_does_not_hide_it(self, compared) -> None:
        draw, calm = random.Random(3), noisy(0.0, 0.004)
        gating = gating_of(
            compared(lambda arm, n: calm(arm, n) * (draw.choice((0.7, 1.3)) if arm == "ours" else 1))[0]
        )
        assert gating.verdict == "AMBIGUOUS"
        assert gating.unsteady
        assert gating.fails()

    def test_there_is_more_time_to_tell_whether_a_candidate_is_unsteady(
        self, compared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = itertools.count(0, 0.5)  # half a second for each block: 5.5 s are eleven
        monkeypatch.setattr(
            blocks,
            "time",
            SimpleNamespace(monotonic=lambda: next(clock), perf_counter=time.perf_counter),
        )
        draw, calm = random.Random(3), noisy(0.0, 0.004)
        gating = gating_of(
            compared(lambda arm, n: calm(arm, n) * (draw.choice((0.7, 1.3)) if arm == "ours" else 1))[0]
        )
        assert gating.unsteady
        assert len(gating_of(compared(noisy(0.0, 0.3))[0]).stages[0].candidate_ms) == 11

    @pytest.mark.parametrize("wrong", ["ours", "theirs"])
    def test_calls_that_need_not_be_right_do_not_count(self, compared, wrong: str) -> None:
        calm = noisy(0.0, 0.004)
        _, right = compared(calm)
        assert all(right.varied)
        evaluation, clock = compared(
            lambda arm, n: calm(arm, n) * (0.7 if arm == wrong and n < 7 else 1), wrong
        )
        first = sum(clock.varied)
        assert clock.varied == [True] * first + [False] * (len(clock.varied) - first)
        assert gating_of(evaluation).ratio == pytest.approx(1, abs=0.02)
        contents = {tuple(inputs.flatten().tolist()) for _, inputs in clock.blocks}
        assert len(contents) == len(clock.blocks) // 2

    def test_false_alarms(self, compared) -> None:
        verdicts = [gating_of(compared(noisy(0.0, 0.01, seed))[0]).verdict for seed in range(10)]
        assert "SLOWER" not in verdicts


class TestFailures:
    @staticmethod
    def dying(who: str) -> Latency:
        def latency(arm: str, block: int) -> float:
            if (arm, block) == (who, 3):
                raise CandidateDied("the candidate process was killed")
            return 1e5

        return latency

    def test_a_candidate_that_fails_in_a_block_fails(self, compared) -> None:
        evaluation, _ = compared(self.dying("ours"))
        assert evaluation.status is EvaluationStatus.RUNTIME_ERROR
        assert "was killed" in evaluation.log
        assert gating_of(evaluation).verdict is None

    def test_a_baseline_that_fails_leaves_the_item_without_a_gate(self, compared) -> None:
        evaluation, _ = compared(self.dying("theirs"))
        assert evaluation.passed
        gating = gating_of(evaluation)
        assert gating.verdict is None
        assert not gating.fails()
        assert "the baseline itself is RUNTIME_ERROR here (the candidate process was killed)" in gating.reason


class TestRealProcesses:
    @staticmethod
    def compare(
        session: JudgeSession, judge: Judge, ours: LoadedSolution, theirs: LoadedSolution
    ) -> Evaluation:
        evaluation = judge(ours)
        assert evaluation.passed, evaluation.log
        return session.compare(evaluation, SCALE_ADD, workload(), ours, None, theirs, 0.02)

    def test_a_kernel_that_takes_twice_as_long(
        self, session: JudgeSession, judge: Judge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(blocks, "_STAGE_S", 0.0)  # no time for more blocks than the least
        spin = "for _ in range({}): x * w".format
        ours, theirs = (solution(in_call(spin(count))) for count in (80, 30))
        gating = gating_of(self.compare(session, judge, ours, theirs))
        assert gating.verdict == "SLOWER"
        assert gating.ratio is not None
        assert 1.5 < gating.ratio < 4

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            (HONEST.replace("+ bias", "- bias"), "the baseline itself is INCORRECT_NUMERICAL here"),
            ("import not_there", "COMPILE_ERROR here (ModuleNotFoundError"),
        ],
    )
    def test_a_baseline_that_is_wrong(
        self, session: JudgeSession, judge: Judge, source: str, reason: str
    ) -> None:
        evaluation = self.compare(session, judge, solution(), solution(source))
        assert evaluation.passed
        assert reason in gating_of(evaluation).reason


class TestHandovers:
    @pytest.mark.parametrize("theirs", [CPP + "// the baseline\n", HONEST], ids=["cpp", "python"])
    def test_idle_calls_go_the_way_of_each_solution(
        self, session: JudgeSession, judge: Judge, monkeypatch: pytest.MonkeyPatch, theirs: str
    ) -> None:
        ours = solution(CPP, "cpp")
        baseline = solution(theirs, "cpp" if "tvm" in theirs else "python")
        evaluation = judge(ours)
        languages: list[str] = []
        order = candidates.idle_order

        def noted(*arguments: Any) -> Order:
            made = order(*arguments)
            languages.append(made.language)
            return made

        monkeypatch.setattr(candidates, "idle_order", noted)
        monkeypatch.setattr(blocks, "_STAGE_S", 0.0)
        compared = session.compare(evaluation, SCALE_ADD, workload(), ours, None, baseline, 0.02)
        assert gating_of(compared).ratio is not None
        assert set(languages) == ({"idle_cpp"} if "tvm" in theirs else {"idle_cpp", "idle"})

    @pytest.mark.parametrize("same", [True, False])
    def test_one_hand_over_is_for_both_where_that_is_right(self, session: JudgeSession, same: bool) -> None:
        arms = [Arm(session, SCALE_ADD, workload(), loaded, None) for loaded in (solution(), OTHER)]
        inputs = arms[0].inputs()
        arena = arms[0].arena(inputs, arms[1])
        measured: list[int] = []

        def one(bench: Bench, calls: int, call_ns: float) -> tuple[Handover, Handover]:
            measured.append(1)
            return Handover(1000.0), Handover(1000.0)

        def other(bench: Bench, calls: int, call_ns: float) -> tuple[Handover, Handover]:
            measured.append(2)
            return Handover(9000.0), Handover(9000.0)

        def probe(bench: Bench) -> float:
            bench.tally.reference_ns.append(1000)
            return 100_000.0

        nobody: Any = None
        contest = Contest(
            (arms[0].bench(inputs, arena), arms[1].bench(inputs, arena)),
            100_000.0,
            probe,
            (one, one if same else other),
            nobody,
            nobody,
        )
        mine, others = free_terms(contest, PROCESSOR, PROCESSOR).readings
        arena.close()
        assert mine.several.ordinary == 1000
        assert others.several.ordinary == (1000 if same else 9000)
        assert measured == ([1, 1] if same else [2, 1, 2])
