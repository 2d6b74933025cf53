from __future__ import annotations

import pytest

from pytest_fib.inputs.keys import Stream

SECRET = bytes(range(32))


def test_equal_subjects_and_calls_have_equal_digests() -> None:
    assert Stream(SECRET, "w", "q").digest(3) == Stream(SECRET, "w", "q").digest(3)
    assert len(Stream(SECRET, "w").digest(0)) == 32


def test_secret_subject_and_call_all_count() -> None:
    other = bytes(31) + b"\1"
    digests = {
        Stream(SECRET, "w", "q").digest(0),
        Stream(SECRET, "w", "q").digest(1),
        Stream(SECRET, "w", "k").digest(0),
        Stream(SECRET, "v", "q").digest(0),
        Stream(other, "w", "q").digest(0),
        Stream(SECRET, "w", "q").digest(2**64 - 1),
    }
    assert len(digests) == 6


def test_the_parts_of_a_subject_do_not_run_into_each_other() -> None:
    subjects = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc")]
    assert len({Stream(SECRET, *subject).digest(0) for subject in subjects}) == len(subjects)


def test_any_text_is_a_subject() -> None:
    Stream(SECRET, "\ud800", "\0", "ü").digest(0)


@pytest.mark.parametrize("secret", [b"", b"short", bytes(33)])
def test_a_secret_has_32_bytes(secret: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Stream(secret)


def test_generators_continue_nothing() -> None:
    stream = Stream(SECRET, "w")
    first = stream.generator(5).integers(0, 2**63, 4).tolist()
    stream.generator(6).integers(0, 2**63, 1000)
    assert stream.generator(5).integers(0, 2**63, 4).tolist() == first
    assert stream.generator(6).integers(0, 2**63, 4).tolist() != first
