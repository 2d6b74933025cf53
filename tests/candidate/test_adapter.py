"""Calling conventions: what is inferred from a signature, and what may come back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from pytest_fib.border.order import Order
from pytest_fib.candidate.adapter import OutputError, bind, store


def order(declared: bool | None = None, language: str = "python", outputs: tuple[str, ...] = ("y",)) -> Order:
    return Order(
        language=language,
        entry_file="main.py",
        entry_symbol="run",
        sources={},
        destination_passing=declared,
        inputs=2,
        outputs=outputs,
        artifact_dir="",
    )


def identity(value: Any) -> Any:
    return value


class Callable_:
    def __call__(self, a: Any, b: Any) -> None: ...


@pytest.mark.parametrize(
    ("entry", "destination_passing"),
    [
        (lambda a, b: None, False),
        (lambda a, b, y: None, True),
        (lambda a, b, y=None: None, False),
        (lambda a, b, scale=1.0, causal=True: None, False),
        (lambda *arguments: None, False),
        (lambda a, *rest: None, False),
        (partial(lambda a, b, c: None, c=1), False),
        (Callable_(), False),
        (len, False),
    ],
)
def test_the_style_is_inferred_where_it_is_not_said(
    entry: Callable[..., Any], destination_passing: bool
) -> None:
    kernel = bind(entry, order(), identity)
    assert kernel.destination_passing == destination_passing
    assert not kernel.remark


def test_compiled_code_without_a_signature_takes_outputs() -> None:
    assert bind(print, order(language="cpp"), identity).destination_passing


@pytest.mark.parametrize(("entry", "declared"), [(lambda a, b: None, True), (lambda a, b, y: None, False)])
def test_a_signature_that_cannot_be_called_as_declared_wins(
    entry: Callable[..., Any], declared: bool
) -> None:
    kernel = bind(entry, order(declared), identity)
    assert kernel.destination_passing is not declared
    assert "destination_passing_style is declared" in kernel.remark


@pytest.mark.parametrize("declared", [True, False])
def test_a_variadic_entry_is_called_as_declared(declared: bool) -> None:
    kernel = bind(lambda *arguments: None, order(declared), identity)
    assert kernel.destination_passing is declared
    assert not kernel.remark


Y = torch.arange(4.0)


@pytest.mark.parametrize(
    "result",
    [
        Y,
        (Y,),
        [Y],
        {"y": Y, "other": None},
        torch.nn.Parameter(Y),
        torch.stack([Y, Y], dim=1)[:, 0],
        Y.numpy(),
    ],
)
def test_what_may_come_back(result: object) -> None:
    output = torch.zeros(4)
    store(result, (output,), ("y",))
    assert torch.equal(output, Y)


def test_a_scalar_fills_an_output_without_dimensions() -> None:
    output = torch.zeros((), dtype=torch.int64)
    store(7, (output,), ("y",))
    assert output.item() == 7


@pytest.mark.parametrize(
    ("result", "about", "message"),
    [
        (None, "shape", "output 'y' is None: .* nothing"),
        ((), "shape", r"returned 0 values; the definition's outputs are 1: y"),
        ((Y, Y), "shape", r"returned 2 values; the definition's outputs are 1: y"),
        (Y[:2], "shape", r"output 'y' has shape \[2\]"),
        (Y[None], "shape", r"\[1, 4\]"),
        (Y.double(), "dtype", "output 'y' has dtype torch.float64"),
        ("text", "shape", "output 'y' is a str"),
        ({}, "shape", "no output"),
    ],
)
def test_what_may_not_come_back(result: object, about: str, message: str) -> None:
    with pytest.raises(OutputError, match=message) as caught:
        store(result, (torch.zeros(4),), ("y",))
    assert caught.value.about == about


def test_an_entry_that_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="not a function"):
        bind(3, order(), identity)
