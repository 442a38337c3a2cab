"""Stdout while native libraries start."""

import os

import pytest

from toolkit.runtime.chatter import stdout_kept


def test_what_is_printed_meanwhile_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with stdout_kept():
        os.write(1, b"chatter")
    os.write(1, b"result")
    assert capfd.readouterr() == ("result", "chatter")


def test_a_closed_stderr_leaves_no_descriptor_open(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    duplicate = os.dup2

    def refused(source: int, target: int) -> int:
        if source == 2:
            raise OSError("Bad file descriptor")
        return duplicate(source, target)

    def lowest_free() -> int:
        free = os.dup(0)
        os.close(free)
        return free

    monkeypatch.setattr(os, "dup2", refused)
    before = lowest_free()
    with stdout_kept():
        os.write(1, b"chatter")
    assert lowest_free() == before
    assert capfd.readouterr().out == "chatter"
