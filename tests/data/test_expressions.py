from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.expressions import LARGEST, evaluate, holds, names
from pytest_fib.errors import DataError

AXES = {"m": 6, "n": 4, "zero": 0}
LEAVES = st.sampled_from(["m", "n", "zero", "1", "2", "17"])
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%", "/"]), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
    ),
    max_leaves=12,
)


@given(EXPRESSIONS)
def test_arithmetic_is_that_of_python(expression: str) -> None:
    try:
        value = evaluate(expression, AXES)
    except DataError:
        return
    assert value == eval(expression, {}, dict(AXES))  # the oracle, on text made above


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("m / 2", 3),
        ("m * n + 1", 25),
        ("(m + n) // 3", 3),
        ("m % n", 2),
        ("-(-7)", 7),
        ("128", 128),
        (" m ", 6),
    ],
)
def test_values(expression: str, value: int) -> None:
    assert evaluate(expression, AXES) == value


@pytest.mark.parametrize(
    "expression",
    [
        "m / n",  # not whole
        "m // zero",
        "m % zero",
        "missing + 1",
        f"{LARGEST} + 1",
        "m * 1000000000000000000 * 1000000000000000000",
    ],
)
def test_no_value_is_said_in_one_sentence(expression: str) -> None:
    with pytest.raises(DataError) as caught:
        evaluate(expression, AXES)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "m ** 2",
        "__import__('os')",
        "m.bit_length()",
        "m if n else 1",
        "[m]",
        "1.5",
        "0x10",
        "1is",
        "m n",
        "m @ n",
        "m = 1",
        "lambda",
        "(" * 300,
        "m" * 1000,
        "m\x00",
        "９",
    ],
)
def test_anything_but_arithmetic_is_refused(expression: str) -> None:
    for operation in (names, lambda text: evaluate(text, AXES)):
        with pytest.raises(DataError):
            operation(expression)


def test_names() -> None:
    assert names("(m + n) * 2 / m") == {"m", "n"}


@pytest.mark.parametrize(
    ("constraint", "verdict"),
    [
        ("m == n + 2", True),
        ("m == n", False),
        ("n < m <= 6", True),
        ("n < m < 6", False),
        ("m % 2 == 0 and not n > 4", True),
        ("m == 1 or n == 1", False),
        ("total == indptr[-1].item()", None),
        ("m == x.shape[0]", None),
        ("m in (6, 7)", None),
        ("m // zero == 1", None),
        ("m", None),
        ("m ==", None),
        ("exit()", None),
        ("m == 6 " * 100, None),
    ],
)
def test_constraints_on_axes_alone_are_checked(constraint: str, verdict: bool | None) -> None:
    assert holds(constraint, AXES) is verdict


@given(st.text(max_size=60))
def test_no_constraint_raises(constraint: str) -> None:
    assert holds(constraint, AXES) in (True, False, None)
