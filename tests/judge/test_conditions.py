"""What a device is like around measured blocks: read through NVML or something like it, never set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.judge import JudgeSession
from pytest_fib.judge.conditions import (
    REPEATS,
    Blind,
    NvmlSensor,
    Reading,
    Sensor,
    Watch,
    count_others,
    find_sensor,
    locked,
)

from .conftest import CONFIG, SCALE_ADD, in_call, solution, workload

CALM = Reading(1980, 3201, frozenset(), 0)
IDLE = Reading(345, 3201, frozenset({"gpu_idle"}), 0)
CAPPED = Reading(1410, 3201, frozenset({"sw_power_cap"}), 0)


class Scripted:
    """A sensor that says what it is told to, and then the last of it for ever."""

    problem = ""
    driver = "580.1"
    max_sm_mhz = 1980

    def __init__(self, *readings: Reading, at_rest: Reading | None = None) -> None:
        self._readings = list(readings)
        self.at_rest = at_rest

    def read(self) -> Reading:
        return self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]


class NVMLError(Exception):
    pass


class Library:
    """As much of ``pynvml`` as is used; whatever would change a setting is not there."""

    NVMLError = NVMLError

    def __init__(self, **answers: Any) -> None:
        self.answers = {
            "nvmlSystemGetDriverVersion": b"580.95.05",
            "nvmlDeviceGetMaxClockInfo": 1980,
            "nvmlDeviceGetClockInfo": {1: 1755, 2: 3201},
            "nvmlDeviceGetCurrentClocksEventReasons": 0x4 | 0x1,
            "nvmlDeviceGetComputeRunningProcesses": [],
            **answers,
        }
        self.asked: list[str] = []

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlInit(self) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in self.answers:
            raise AttributeError(name)
        self.asked.append(name)
        answer = self.answers[name]
        if answer is None:
            raise NVMLError("Not Supported")
        return lambda *args: answer[args[1]] if isinstance(answer, dict) else answer


def test_the_driver_is_asked_and_nothing_is_set() -> None:
    library = Library()
    sensor = NvmlSensor(library, "c0ffee")
    assert sensor.driver == "580.95.05"
    assert sensor.read() == Reading(1755, 3201, frozenset({"sw_power_cap", "gpu_idle"}), None)
    assert all("Get" in name for name in library.asked)


def test_what_the_driver_does_not_say_is_missing() -> None:
    library = Library(nvmlDeviceGetClockInfo=None, nvmlDeviceGetComputeRunningProcesses=None)
    del library.answers["nvmlDeviceGetCurrentClocksEventReasons"]
    library.answers["nvmlDeviceGetCurrentClocksThrottleReasons"] = 0x40
    assert NvmlSensor(library, "GPU-c0ffee").read() == Reading(
        reasons=frozenset({"hw_thermal_slowdown"}), others=None
    )


def missing() -> Any:
    raise ImportError


def test_without_the_package_or_the_driver_there_is_a_sentence() -> None:
    assert "pip install 'pytest-fib[cuda]'" in find_sensor("x", missing).problem
    broken = find_sensor("x", lambda: Library(nvmlSystemGetDriverVersion=None))
    assert broken.problem == "NVML does not answer: Not Supported"
    assert broken.read() is None
    conditions = Watch(broken).conditions()
    assert conditions is not None
    assert conditions.problem == broken.problem
    assert Watch(Blind()).conditions() is None


def test_processes_of_others_are_told_from_ours() -> None:
    parents = {11: 10, 12: 11, 90: 1}
    assert count_others([10, 11, 12], 10, lambda pid: parents.get(pid, 0)) == 0
    assert count_others([10, 12, 90, 91], 10, lambda pid: parents.get(pid, 0)) == 2
    assert count_others([4711], 10, lambda pid: parents.get(pid, 0)) is None


def run(sensor: Sensor) -> tuple[Watch, int]:
    """Watch three blocks; return how often one was made."""
    made = 0

    def block() -> int:
        nonlocal made
        made += 1
        return made

    watch = Watch(sensor)
    for _ in range(3):
        assert watch.steady(block) == made  # the last one counts
    return watch, made


def test_calm_blocks_are_measured_once() -> None:
    watch, made = run(Scripted(CALM))
    conditions = watch.conditions()
    assert conditions is not None
    assert made == 3
    assert (conditions.blocks, conditions.slowed_blocks, conditions.repeated_blocks) == (3, 0, 0)
    assert watch.remarks() == []


def test_a_clock_that_was_lower_at_rest_is_not_held() -> None:
    watch = Watch(Scripted(CALM, at_rest=IDLE))
    watch.steady(lambda: None)
    conditions = watch.conditions()
    assert conditions is not None
    assert (conditions.sm_mhz, conditions.idle_sm_mhz, conditions.locked) == ((1980, 1980), 345, False)


def test_a_block_that_was_slowed_down_is_measured_again() -> None:
    watch, made = run(Scripted(CALM, CAPPED, CALM))
    conditions = watch.conditions()
    assert conditions is not None
    assert made == 4
    assert (conditions.blocks, conditions.slowed_blocks, conditions.repeated_blocks) == (4, 1, 1)
    assert conditions.sm_mhz == (1410, 1980)
    assert "sw_power_cap" in watch.remarks()[0]


def test_what_is_slow_every_time_is_slow() -> None:
    watch, made = run(Scripted(CAPPED))
    assert made == 3 + REPEATS
    assert f"in {3 + REPEATS} of {3 + REPEATS} blocks; {REPEATS} of them" in watch.remarks()[0]


@pytest.mark.parametrize(
    ("readings", "held"),
    [
        ([CALM, CALM], None),
        ([CALM], None),
        ([IDLE, CALM], False),
        ([replace(CALM, sm_mhz=1500)] * 2, True),
        ([replace(IDLE, sm_mhz=1500)] * 2, None),
        ([CAPPED, CAPPED], None),
        ([replace(CALM, reasons=frozenset({"applications_clocks_setting"}))], True),
        ([Reading(), Reading()], None),
    ],
)
def test_whether_clocks_are_held(readings: list[Reading], held: bool | None) -> None:
    assert locked(readings, 1980) is held


@given(st.lists(st.sampled_from([CALM, IDLE, CAPPED]), min_size=1, max_size=20), st.integers(1, 10))
def test_repeating_is_bounded_and_counted(readings: list[Reading], blocks: int) -> None:
    watch = Watch(Scripted(*readings))
    for _ in range(blocks):
        watch.steady(lambda: None)
    conditions = watch.conditions()
    assert conditions is not None
    assert conditions.blocks == blocks + conditions.repeated_blocks
    assert conditions.repeated_blocks <= min(REPEATS, conditions.slowed_blocks)


@pytest.fixture
def watched(session: JudgeSession) -> Iterator[JudgeSession]:
    before = session.sensor
    session.sensor = Scripted(CALM, CALM, replace(CAPPED, others=1), CALM)
    try:
        yield session
    finally:
        session.sensor = before


def test_an_evaluation_says_what_the_device_was_like(watched: JudgeSession) -> None:
    # As slow as this, no request could have another call: whatever the machine does, trials begin once.
    evaluation = watched.evaluate(SCALE_ADD, workload(), solution(in_call("time.sleep(0.002)")), None)
    assert evaluation.passed, evaluation.log
    conditions, trials = evaluation.conditions, CONFIG.sampling.trials
    assert conditions is not None
    assert (conditions.blocks, conditions.repeated_blocks) == (trials + 1, 1)
    assert conditions.locked is False
    assert conditions.others == 1
    assert evaluation.timing is not None
    assert len(evaluation.timing.trials_ms) == trials
    assert len([remark for remark in evaluation.remarks if "device" in remark]) == 2
