"""Every flag and its ini twin: values, defaults, precedence, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fib.settings import Settings

if TYPE_CHECKING:
    from conftest import Project

VALUES = [
    ("device", "cuda:1", "cuda:1"),
    ("profile", "quick", "quick"),
    ("warmup-runs", "0", 0),
    ("iterations", "7", 7),
    ("trials", "1", 1),
    ("rtol", "0", 0.0),
    ("atol", "1e-3", 1e-3),
    ("required-matched-ratio", "0.9", 0.9),
    ("tolerance", "allclose", "allclose"),
    ("seed", "18446744073709551615", 2**64 - 1),
    ("timeout", "1.5", 1.5),
    ("build-timeout", "60", 60.0),
    ("memory", "0.5", 0.5),
    ("isolation", "solution", "solution"),
]
SWITCHES = ["no-timing", "require-device", "require-sandbox", "selftest", "strict", "synthesize-missing"]
WRONG = [
    ("device", "gpu"),
    ("device", "cuda:x"),
    ("profile", "fast"),
    ("warmup-runs", "-1"),
    ("iterations", "0"),
    ("iterations", "many"),
    ("trials", "0"),
    ("rtol", "-0.1"),
    ("rtol", "nan"),
    ("atol", "inf"),
    ("required-matched-ratio", "0"),
    ("required-matched-ratio", "1.1"),
    ("tolerance", "exact"),
    ("seed", "-1"),
    ("seed", "0x10"),
    ("timeout", "0"),
    ("build-timeout", "soon"),
    ("memory", "-1"),
    ("isolation", "none"),
]
DEFAULTS = Settings()


def read(pytester: pytest.Pytester, *args: str) -> Settings:
    return Settings.from_config(pytester.parseconfig(*args))


def field(flag: str) -> str:
    return flag.replace("-", "_")


@pytest.mark.parametrize(("flag", "text", "value"), VALUES)
def test_a_value_comes_from_the_flag_else_the_ini_else_the_default(
    pytester: pytest.Pytester, flag: str, text: str, value: Any
) -> None:
    pytester.makeini("[pytest]\n")
    assert getattr(read(pytester), field(flag)) == getattr(DEFAULTS, field(flag))
    assert getattr(read(pytester, f"--fib-{flag}={text}"), field(flag)) == value
    pytester.makeini(f"[pytest]\nfib_{field(flag)} = {text}\n")
    assert getattr(read(pytester), field(flag)) == value


@pytest.mark.parametrize("flag", SWITCHES)
def test_a_switch_is_off_unless_the_flag_or_the_ini_sets_it(pytester: pytest.Pytester, flag: str) -> None:
    pytester.makeini("[pytest]\n")
    assert getattr(read(pytester), field(flag)) is False
    assert getattr(read(pytester, f"--fib-{flag}"), field(flag)) is True
    pytester.makeini(f"[pytest]\nfib_{field(flag)} = true\n")
    assert getattr(read(pytester), field(flag)) is True


@pytest.mark.parametrize(("flag", "text"), WRONG)
@pytest.mark.parametrize("source", ["flag", "ini"])
def test_a_wrong_value_is_a_usage_error_of_one_sentence(
    pytester: pytest.Pytester, two_ops: Project, flag: str, text: str, source: str
) -> None:
    args = [f"--fib-solution={two_ops.solution('s', 'norm')}"]
    if source == "flag":
        args.append(f"--fib-{flag}={text}")
    else:
        pytester.makeini(f"[pytest]\nfib_{field(flag)} = {text}\n")
    result = pytester.runpytest(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    name = f"--fib-{flag}" if source == "flag" else f"ini option fib_{field(flag)}"
    result.stderr.fnmatch_lines([f"ERROR: {name} must be *, not '{text}'"])
    assert len([line for line in result.errlines if line]) == 1


def test_paths_are_relative_to_the_current_folder_or_to_the_ini(
    pytester: pytest.Pytester, monkeypatch
) -> None:
    pytester.makeini("[pytest]\nfib_report = out/r.json\nfib_tracesets = sets/a sets/b\n")
    monkeypatch.chdir(pytester.mkdir("sub"))
    settings = read(pytester, "--fib-traces=t", "--fib-solution=s.json")
    assert settings.report == pytester.path / "out/r.json"
    assert settings.traces == pytester.path / "sub/t"
    assert settings.solutions == (pytester.path / "sub/s.json",)
    assert settings.tracesets == (pytester.path / "sets/a", pytester.path / "sets/b")


def test_flags_replace_the_lists_of_the_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nfib_solutions = a.json\nfib_tracesets = a\n")
    settings = read(pytester, "--fib-solution=b.json", "--fib-solution=c.json", "--fib-traceset=b")
    assert [path.name for path in settings.solutions] == ["b.json", "c.json"]
    assert [path.name for path in settings.tracesets] == ["b"]
    assert settings.solutions_from_flag


def test_settings_as_json_have_every_default_filled_in() -> None:
    resolved = json.loads(json.dumps(Settings(tracesets=(Path("a"),)).resolved()))
    assert resolved["tracesets"] == ["a"]
    assert (resolved["warmup_runs"], resolved["iterations"], resolved["trials"]) == (10, 30, 5)
    assert resolved["tolerance"] == "flashinfer"
    assert Settings(iterations=3, profile="mlsys26").resolved()["iterations"] == 3


def test_help_says_every_flag_with_its_default(pytester: pytest.Pytester) -> None:
    text = " ".join(pytester.runpytest("--help").outlines)
    for flag in [
        *(value[0] for value in VALUES),
        *SWITCHES,
        "solution",
        "traceset",
        "report",
        "traces",
        "html",
    ]:
        after = text.split(f"--fib-{flag}", 1)[1].split("--", 1)[0]
        assert "(default:" in " ".join(after.split()) or flag in ("solution", "traceset"), flag


class TestSampling:
    """What the profiles and counts mean for one definition."""

    @pytest.mark.parametrize(
        ("settings", "definition", "counts"),
        [
            (Settings(), "gemm", (10, 30, 5)),
            (Settings(profile="quick"), "gemm", (2, 20, 1)),
            (Settings(isolation="solution"), "gemm", (2, 20, 1)),
            (Settings(isolation="solution", trials=5), "gemm", (2, 20, 5)),
            (Settings(isolation="solution", profile="mlsys26"), "gemm", (10, 50, 3)),
            (Settings(profile="mlsys26"), "gemm", (10, 50, 3)),
            (Settings(profile="mlsys26"), "gdn_prefill_qk4_v8_d128_k_last", (1, 5, 3)),
            (Settings(profile="mlsys26"), "gdn_decode_qk4_v8_d128_k_last", (10, 50, 3)),
            (Settings(profile="mlsys26", warmup_runs=0), "gdn_prefill_x", (0, 5, 3)),
        ],
    )
    def test_counts(self, settings: Settings, definition: str, counts: tuple[int, int, int]) -> None:
        sampling = settings.sampling_for(definition, "op")
        assert (sampling.warmup_runs, sampling.iterations, sampling.trials) == counts

    @pytest.mark.parametrize(
        ("settings", "bounded"),
        [
            (Settings(), True),
            (Settings(profile="quick"), True),
            (Settings(profile="mlsys26"), False),
            (Settings(iterations=30), False),
            (Settings(warmup_runs=0), False),
            (Settings(trials=5), False),
        ],
    )
    def test_counts_that_were_asked_for_are_exact(self, settings: Settings, bounded: bool) -> None:
        assert (settings.sampling_for("gemm", "gemm").budget_s is not None) is bounded

    def test_no_timing(self) -> None:
        assert not Settings(no_timing=True).sampling_for("gemm", "gemm").timing


class TestTolerance:
    """What overrides the op type's rule for one definition."""

    def test_nothing_unless_asked_for(self) -> None:
        tolerance = Settings().tolerance_for("moe_x", "moe")
        assert (tolerance.rule, tolerance.rtol, tolerance.atol) == (None, None, None)
        assert tolerance.required_matched_ratio is None

    def test_the_contests_moe_rule_is_its_profiles_and_flags_win(self) -> None:
        contest = Settings(profile="mlsys26", rtol=0.1)
        moe, other = contest.tolerance_for("moe_x", "moe"), contest.tolerance_for("gemm", "gemm")
        assert (moe.atol, moe.rtol, moe.required_matched_ratio) == (1.0, 0.1, 0.9)
        assert (other.atol, other.rtol, other.required_matched_ratio) == (None, 0.1, None)

    def test_flags(self) -> None:
        tolerance = Settings(tolerance="allclose", atol=0.0, required_matched_ratio=0.5).tolerance_for(
            "x", "x"
        )
        assert (tolerance.rule, tolerance.atol, tolerance.required_matched_ratio) == ("allclose", 0.0, 0.5)


def test_limits_are_in_seconds_and_gibibytes() -> None:
    limits = Settings(timeout=1.5, build_timeout=2.0, memory=0.5).limits()
    assert (limits.timeout_s, limits.build_timeout_s, limits.memory_bytes) == (1.5, 2.0, 1 << 29)


def test_the_judge_gets_the_settings_of_each_definition(pytester: pytest.Pytester, two_ops: Project) -> None:
    args = [f"--fib-solution={two_ops.solution(*pair)}" for pair in (("s", "norm"), ("m", "moe_fp8_x"))]
    result = pytester.runpytest(*args, "--fib-profile=mlsys26", "--fib-device=cpu")
    result.assert_outcomes(passed=5)
    starts = [line for line in two_ops.judge_log() if line.startswith("start cpu")]
    assert len(starts) == 2
    assert sum("required_matched_ratio=0.9" in line for line in starts) == 1
    assert two_ops.judge_log().count("close") == 2
