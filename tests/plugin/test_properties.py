"""Properties of the pure functions on the pytest side."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import RandomInput, Workload, WorkloadLine
from pytest_fib.items import quote
from pytest_fib.options import VALUES, Option
from pytest_fib.rows import item_names

NAMES = st.text(min_size=1, max_size=60)
WORKLOADS = st.builds(
    Workload,
    uuid=NAMES | st.uuids().map(str) | st.uuids().map(lambda uuid: uuid.hex),
    axes=st.dictionaries(
        st.sampled_from(["batch", "a b", "=", "x" * 50]), st.integers(0, 2**63 - 1), max_size=4
    ),
    inputs=st.just({"x": RandomInput()}),
)
DEFINITION = Definition.model_validate(
    {
        "name": "d",
        "axes": {name: {"type": "var"} for name in ("batch", "a b", "=", "x" * 50)},
        "inputs": {"x": {"shape": ["batch"], "dtype": "float32"}},
        "outputs": {"y": {"shape": ["batch"], "dtype": "float32"}},
        "reference": "def run(x): return x",
    }
)


@given(st.lists(WORKLOADS, max_size=20))
def test_item_names_are_distinct_and_safe_in_ids(workloads: list[Workload]) -> None:
    lines = [WorkloadLine("d", workload, Path("d.jsonl"), 1) for workload in workloads * 2]
    names = item_names(lines, DEFINITION)
    assert len(set(names)) == len(lines)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,150}", name) for name in names)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Cn", "Co"])))
def test_a_printable_word_is_quoted_as_any_shell_reads_it(word: str) -> None:
    if word.isprintable():
        assert shlex.split(quote(word)) == [word]


@settings(max_examples=25)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
def test_any_word_is_quoted_as_bash_reads_it_and_as_a_terminal_may_show_it(word: str) -> None:
    quoted = quote(word)
    assert quoted.isprintable()
    done = subprocess.run(
        ["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.stdout.decode() == word


@pytest.mark.parametrize("option", VALUES, ids=lambda option: option.name)
@given(text=st.text(max_size=12) | st.floats().map(str) | st.integers().map(str))
def test_any_text_is_a_value_or_a_value_error(option: Option, text: str) -> None:
    try:
        value: Any = option.kind.parse(text)
    except ValueError:
        return
    assert value == value  # no NaN gets through
