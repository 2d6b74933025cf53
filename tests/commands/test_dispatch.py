"""``fib`` finds its commands by itself, hands each its words, and imports little on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_fib.cli import load_commands, main


def test_every_module_is_a_command_with_a_help_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"run", "selftest"} <= load_commands().keys()
    for name in load_commands():
        try:
            status = main([name, "--help"])
        except SystemExit as stop:
            status = stop.code  # type: ignore[assignment]
        assert status == 0
        assert capsys.readouterr().out.startswith(f"usage: fib {name} ")


def test_every_command_has_a_section_in_the_docs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
    sections = [line.removeprefix("## fib ") for line in page.splitlines() if line.startswith("## fib ")]
    assert load_commands().keys() <= set(sections)


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["-h"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for name in load_commands():
        assert f"\n    {name} " in shown


@pytest.mark.parametrize("words", [[], ["frobnicate"], ["selftest", "--no-such-option"]])
def test_wrong_usage_is_exit_code_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


def test_options_of_pytest_reach_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(pytest, "main", lambda words: given.append(words) or 5)
    words = ["-k", "a b", "--version", "--", "-x", "--help"]
    assert main(["run", "/a.json", "/kit", *words]) == 5
    assert given[0][-len(words) - 2 :] == ["--fib-solution=/a.json", "--fib-solution=/kit", *words]


def test_nothing_heavy_is_imported_for_all_commands() -> None:
    code = "import sys, pytest_fib.cli as cli; cli.load_commands(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert not {"torch", "numpy", "pytest", "pydantic", "hypothesis"} & set(done.stdout.split())


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = "import sys, pytest_fib.cli as cli\nsys.exit(cli.main(['run', '--help']))"
    run = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    assert run.stderr.read() == ""
    assert run.wait(timeout=60) == 1
    run.stderr.close()
