"""`toolkit demo`, and the commands that README shows."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.cli.main import main

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_demo_goes_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", "-o", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    commands = [step["command"].split()[1] for step in report["steps"]]
    assert commands == [
        *("train", "export", "quantize", "validate", "infer", "profile", "evaluate", "evaluate")
    ]
    fp32, int8 = report["variants"]
    assert fp32["variant"] == "fp32"
    assert int8["size_bytes"] * 3 <= fp32["size_bytes"]
    assert fp32["accuracy"]["value"] > 0.74
    assert abs(fp32["accuracy"]["value"] - int8["accuracy"]["value"]) <= 0.005
    results = next(step["result"] for step in report["steps"] if "results" in step["result"])
    assert [entry["label"] for entry in results["results"]] == ["positive", "negative"]
    assert main(["demo", "-o", str(folder)]) == 3  # not empty, and no --force


def test_a_demo_whose_command_fails_ends_with_that_commands_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from toolkit import demo as _  # noqa: F401  the module must be loaded before it is patched

    monkeypatch.setattr(sys.modules["toolkit.demo"], "HURRY", ("max_epochs=-1",))
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 3
    error = capsys.readouterr().err
    assert "ended with exit code 3" in error


def commands_of_readme() -> list[str]:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## The way\n.*?```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return block.group(1).splitlines()


@pytest.mark.slow
def test_the_commands_of_readme_run_as_they_stand(tmp_path: Path) -> None:
    for name in ("models",):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    program = tmp_path / "toolkit"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m toolkit "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
    }
    for command in commands_of_readme():
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    expected = {"models", "toolkit", "runs", "sentiment.ortpackage"}
    assert {path.name for path in tmp_path.iterdir()} == expected
