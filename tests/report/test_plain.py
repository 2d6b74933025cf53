from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.report.plain import jsonable

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)) | st.integers(), inner)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_anything_becomes_valid_json_in_utf8(value: Any) -> None:
    text = json.dumps(jsonable(value), allow_nan=False)
    json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")


@given(VALUES)
def test_what_is_json_already_stays_as_it_is(value: Any) -> None:
    once = jsonable(value)
    assert jsonable(once) == once


def test_special_values() -> None:
    @dataclass(frozen=True)
    class Inner:
        path: Path
        secret: bytes

    plain = jsonable({"a": Inner(Path("x"), b"key"), "s": EvaluationStatus.PASSED, "t": (1, float("nan"))})
    assert plain == {"a": {"path": "x", "secret": "<3 bytes>"}, "s": "PASSED", "t": [1, None]}
    assert type(plain["s"]) is str
