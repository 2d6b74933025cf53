from __future__ import annotations

import pytest

from pytest_fib.errors import NotJudgeable
from pytest_fib.judge.orders import check_interpreter, check_supported, uses_triton, zygote_kind

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


def test_kernels_are_compiled_ahead_in_a_zygote_that_neither_interprets_them_nor_sees_a_device() -> None:
    triton = solution("import triton\n" + PLAIN).solution
    on_cpu, on_gpu = zygote_kind(triton, 1), zygote_kind(triton, 1, visible="0", architecture="9.0a")
    assert on_cpu.environment()["TRITON_INTERPRET"] == "1"
    for ahead in (
        zygote_kind(triton, 1, ahead=True),
        zygote_kind(triton, 1, visible="0", architecture="9.0a", ahead=True),
    ):
        assert "triton" in ahead.modules
        assert not ahead.visible
        assert "TRITON_INTERPRET" not in ahead.environment()
        assert ahead.environment()["TRITON_CACHE_DIR"] == on_gpu.environment()["TRITON_CACHE_DIR"]


def test_who_uses_triton() -> None:
    assert uses_triton(solution(PLAIN, "triton").solution)
    assert uses_triton(solution({"main.py": PLAIN, "kernels.py": "import triton\n"}).solution)
    assert not uses_triton(solution(PLAIN).solution)
    assert not uses_triton(solution("// triton", "cpp").solution)
