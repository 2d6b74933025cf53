from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.text import escape, escape_lines, show, slug

ANY_TEXT = st.text(st.characters(), max_size=300)  # surrogates included


@given(ANY_TEXT, st.integers(1, 100))
def test_escaped_text_is_one_printable_line_of_the_allowed_length(text: str, limit: int) -> None:
    escaped = escape(text, limit)
    assert escaped.isprintable()
    assert len(escaped) <= limit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("nul\0", "nul\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u200bb", "a\\u200bb"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("größe 好", "größe 好"),
    ],
)
def test_what_a_terminal_would_act_on_is_spelled_out(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_several_lines_stay_several_lines() -> None:
    printed = "one\ttab\r\ntwo\rOVER\n\x1b[2J\x1b]0;title\x07\u202e\x9b"
    assert escape_lines(printed) == "one\ttab\ntwo\\rOVER\n\\x1b[2J\\x1b]0;title\\x07\\u202e\\x9b"


@given(ANY_TEXT)
def test_lines_and_tabs_are_all_that_is_not_printable(text: str) -> None:
    assert escape_lines(text).replace("\n", "").replace("\t", "").isprintable()
    assert escape_lines(escape_lines(text)) == escape_lines(text)


def test_cut_text_ends_with_an_ellipsis_and_no_half_escape() -> None:
    assert escape("x" * 300, 10) == "x" * 9 + "…"
    assert escape("\0" * 300, 10) == "\\x00\\x00…"


def test_any_value_is_shown_briefly() -> None:
    nested: list[object] = []
    for _ in range(5000):
        nested = [nested]
    assert len(show(nested)) <= 60
    assert show("line\nend") == "'line\\nend'"


@given(ANY_TEXT)
def test_a_slug_is_a_harmless_file_name(name: str) -> None:
    made = slug(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", made)
    assert len(made) <= 120
    assert not made.endswith(".")
    assert made.split(".")[0].lower() not in {"con", "nul", "aux", "prn", "com1", "lpt1"}


@given(ANY_TEXT, ANY_TEXT)
def test_two_names_never_share_a_slug(first: str, second: str) -> None:
    if first != second:
        assert slug(first) != slug(second)
        assert (slug(slug(first)) == slug(second)) == (slug(first) == second)


@pytest.mark.parametrize(
    "name", ["a", "gemm_n128_k2048", "triton.v1-x", "33bf737d-1111-2222-3333-444455556666"]
)
def test_a_harmless_name_is_its_own_slug(name: str) -> None:
    assert slug(name) == name


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "", ".", "..", ".hidden", "-rf", "NUL", "con.txt", "a" * 200, "a b", "a::b"]
)
def test_a_harmful_name_is_changed_and_marked(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.-]+-[0-9a-f]{10}", slug(name))


def test_a_name_that_imitates_a_slug_gets_another() -> None:
    imitation = slug("a/b")
    assert slug(imitation) != imitation
