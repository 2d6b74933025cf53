from __future__ import annotations

import pytest

from pytest_fib.errors import NotJudgeable
from pytest_fib.judge.orders import check_interpreter, check_supported, zygote_kind

from .conftest import SCALE_ADD, solution

PLAIN = "def run(x, w, bias):\n    return x * w + bias\n"


def test_an_interpreter_that_is_wrong_is_not_used_for_what_it_gets_wrong() -> None:
    check_interpreter(SCALE_ADD, solution(PLAIN, "triton").solution, "bf16 add")
    with pytest.raises(NotJudgeable, match="computes bf16 add wrongly"):
        check_interpreter(SCALE_ADD, solution(PLAIN + "# tl.bfloat16", "triton").solution, "bf16 add")
    check_interpreter(SCALE_ADD, solution(PLAIN + "# tl.bfloat16", "triton").solution, "")


def test_a_missing_compiler_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_fib.judge.orders.search_path", lambda: "/nowhere")
    with pytest.raises(NotJudgeable, match=r"need the command c\+\+"):
        check_supported(SCALE_ADD, solution(PLAIN, "cpp").solution)


def test_the_zygote_imports_what_the_sources_mention() -> None:
    assert zygote_kind(solution(PLAIN).solution, 1).modules == ("torch",)
    assert "triton" in zygote_kind(solution("import triton\n" + PLAIN).solution, 1).modules
    assert "tvm_ffi" in zygote_kind(solution(PLAIN, "cpp").solution, 1).modules
