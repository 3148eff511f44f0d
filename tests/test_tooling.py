"""How a tool ends: one line for a user's mistake, a traceback for ours, exit codes that scripts can test."""

import sys

import pytest

from fx_d2.data.errors import DataError
from fx_d2.tooling import child_error, run_tool


@pytest.fixture(autouse=True)
def as_a_tool(monkeypatch):
    """This file stands for the tool."""
    monkeypatch.setattr(sys, "argv", [__file__])
    monkeypatch.delenv("FX_D2_TRACEBACK", raising=False)


def fail(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize("error", [ValueError("key: wrong"), DataError("key: wrong"), FloatingPointError("key: wrong")])
def test_a_mistake_of_the_user_is_one_line(error, capsys):
    with pytest.raises(SystemExit) as end:
        run_tool(fail(error))
    assert end.value.code == 2 and capsys.readouterr().err == "error: key: wrong\n"


def test_a_missing_file_is_one_line(capsys):
    with pytest.raises(SystemExit):
        run_tool(lambda: open("none.txt"))
    assert capsys.readouterr().err == "error: [Errno 2] No such file or directory: 'none.txt'\n"


def test_our_own_mistakes_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_tool(lambda: 1 / 0)
    with pytest.raises(ValueError):  # raised inside a library, which does not know the user's files
        run_tool(lambda: __import__("json").loads("{"))


def test_the_traceback_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("FX_D2_TRACEBACK", "1")
    with pytest.raises(ValueError, match="wrong"):
        run_tool(fail(ValueError("wrong")))


def test_interruption_and_exit_codes(capsys):
    with pytest.raises(SystemExit) as end:
        run_tool(fail(KeyboardInterrupt()))
    assert end.value.code == 130
    with pytest.raises(SystemExit) as end:
        run_tool(lambda: sys.exit(75))
    assert end.value.code == 75
    assert run_tool(lambda: None) is None


def test_the_reason_of_a_launched_process():
    text = (
        "-- Process 1 terminated:\nTraceback (most recent call last):\n  x\nfx_d2.data.errors.DataError: a.csv: bad\n"
    )
    assert child_error(text) == "a.csv: bad"
    assert child_error(text.replace("DataError", "KeyError")) is None
