from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_fib.border.arena import BEAT, CALLS, CONTROL_BYTES, DONE, FIRST, GO, READY, REPLY_BYTES
from pytest_fib.border.order import Order
from pytest_fib.build import cpp
from pytest_fib.build.loop import Loop

tvm_ffi = pytest.importorskip("tvm_ffi")

SOURCE = """
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/error.h>
#include <tvm/ffi/function.h>

int64_t run(int64_t value, double factor, tvm::ffi::TensorView y) {
  if (value < 0) TVM_FFI_THROW(ValueError) << "negative";
  static_cast<double*>(y.data_ptr())[0] = value * factor;
  return value;
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);

extern "C" TVM_FFI_DLL_EXPORT int __tvm_ffi_silent(void*, const TVMFFIAny*, int32_t, TVMFFIAny*) { return -1; }

extern "C" TVM_FFI_DLL_EXPORT int __tvm_ffi_odd(void*, const TVMFFIAny*, int32_t, TVMFFIAny*) {
  TVMFFIErrorSetRaisedFromCStr("ValueError", "odd");
  return 7;
}

tvm::ffi::Tensor same(tvm::ffi::Tensor y) { return y; }
TVM_FFI_DLL_EXPORT_TYPED_FUNC(same, same);
"""


@pytest.fixture(scope="module")
def artifact_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("loop")
    cpp.build(order_of(str(folder)))
    assert Path(folder, cpp.LIBRARY).exists()
    return str(folder)


def order_of(folder: str, symbol: str = "run") -> Order:
    sources = {"main.cc": SOURCE}
    return Order("cpp", "main.cc", symbol, sources, True, 2, ("y",), artifact_dir=folder)


class Pages:
    """The two pages, and a judge that says "go" a little later."""

    def __init__(self) -> None:
        self.control = memoryview(mmap.mmap(-1, CONTROL_BYTES)).cast("Q")
        self.reply = memoryview(mmap.mmap(-1, REPLY_BYTES)).cast("Q")

    def serve(self, loop: Loop, sequence: int, *calls: range) -> None:
        """Ask for the calls of one request after another, the first of which has the number ``sequence``."""

        def judge() -> None:
            for number, wanted in enumerate(calls, sequence):
                time.sleep(0.01)
                self.control[FIRST], self.control[CALLS] = wanted.start, len(wanted)
                ready.append(self.reply[READY])
                self.control[GO] = number
                while self.reply[DONE] != number and not over.is_set():
                    time.sleep(0)

        ready: list[int] = []
        over = threading.Event()
        going = threading.Thread(target=judge)
        going.start()
        try:
            loop.serve(range(sequence, sequence + len(calls)))
        finally:
            over.set()
            going.join()
        assert ready == list(range(sequence, sequence + len(calls)))


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def loaded(artifact_dir: str, pages: Pages) -> Callable[[str], Loop]:
    def load(symbol: str) -> Loop:
        order = order_of(artifact_dir, symbol)
        loop = cpp.loop(order, cpp.load(order))
        loop.begin(pages.control, pages.reply)
        return loop

    return load


def tensors(count: int) -> list[Any]:
    return [torch.zeros(1, dtype=torch.float64) for _ in range(count)]


def test_the_calls_that_are_asked_for_are_made(loaded: Callable[[str], Loop], pages: Pages) -> None:
    loop, outputs = loaded("run"), tensors(5)
    kept = [(number, 0.5, cpp.argument(output)) for number, output in enumerate(outputs, 1)]
    for arguments in kept:
        loop.add(arguments)
    beat = pages.reply[BEAT]
    pages.serve(loop, 7, range(1, 4))
    assert [output.item() for output in outputs] == [0, 1.0, 1.5, 2.0, 0]
    assert pages.reply[DONE] == 7
    assert pages.reply[BEAT] > beat
    outputs[2].zero_()
    pages.serve(loop, 8, range(4, 5), range(2, 3), range(4, 5))
    assert [output.item() for output in outputs] == [0, 1.0, 1.5, 2.0, 2.5]
    assert pages.reply[DONE] == 10


def test_go_may_be_there_before(loaded: Callable[[str], Loop], pages: Pages) -> None:
    loop, [output] = loaded("run"), tensors(1)
    kept = cpp.argument(output)
    loop.add((4, 2.0, kept))
    pages.control[FIRST], pages.control[CALLS], pages.control[GO] = 0, 1, 3
    loop.serve(range(3, 4))
    assert output.item() == 8.0


def test_an_exception_is_python_s_and_nothing_is_done(loaded: Callable[[str], Loop], pages: Pages) -> None:
    loop, outputs = loaded("run"), tensors(2)
    kept = [(number, 1.0, cpp.argument(output)) for number, output in zip((-1, 1), outputs, strict=True)]
    for arguments in kept:
        loop.add(arguments)
    with pytest.raises(ValueError, match="negative"):
        pages.serve(loop, 1, range(1, 2), range(2))
    assert pages.reply[DONE] == pages.control[GO] - 1 == 1
    assert outputs[1].item() == 1.0


@pytest.mark.parametrize(
    ("symbol", "kind", "said"),
    [
        ("silent", RuntimeError, "returned -1, which means an error, without setting one"),
        ("odd", ValueError, "odd"),
    ],
)
def test_an_error_that_was_not_set_does_not_kill(
    loaded: Callable[[str], Loop], pages: Pages, symbol: str, kind: type[Exception], said: str
) -> None:
    loop, [output] = loaded(symbol), tensors(1)
    kept = cpp.argument(output)
    loop.add((1, 1.0, kept))
    for sequence in (1, 2):
        with pytest.raises(kind, match=said):
            pages.serve(loop, sequence, range(1))


def test_begin_forgets(loaded: Callable[[str], Loop], pages: Pages) -> None:
    loop, outputs = loaded("run"), tensors(2)
    kept = [cpp.argument(output) for output in outputs]
    loop.add((1, 1.0, kept[0]))
    loop.begin(pages.control, pages.reply)
    loop.add((2, 1.0, kept[1]))
    pages.serve(loop, 1, range(1))
    assert [output.item() for output in outputs] == [0, 2.0]


def test_what_is_returned_is_let_go(loaded: Callable[[str], Loop], pages: Pages) -> None:
    loop, [output] = loaded("same"), tensors(1)
    kept = tvm_ffi.from_dlpack(output)
    loop.add((kept,))
    before = _references(kept)
    for sequence in range(1, 4):
        pages.serve(loop, sequence, range(1))
    assert _references(kept) == before


def _references(tensor: Any) -> int:
    return int(tvm_ffi.get_global_func("testing.object_use_count")(tensor))
