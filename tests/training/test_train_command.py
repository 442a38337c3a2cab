import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.tiny import TABULAR
from toolkit.cli.main import main
from toolkit.training import Progress


def test_the_command_prints_one_document_with_run_metrics_and_seconds(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", str(recipe), "-o", str(run), "--set", "max_epochs=2", "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert next(iter(document)) == "schema_version"
    assert (document["run"], document["epochs"]) == (str(run), 2)
    assert document["seconds"] > 0
    assert document["metrics"]["test"]["metrics"]["accuracy"]["n"] == 16
    assert "epoch 2 of 2" in captured.err


def test_quiet_says_nothing_on_stderr(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", str(recipe), "-o", str(run), "--set", "folds=2", "-q"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "2 folds: accuracy" in captured.out


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--set", "learning_rate=fast"], 3, "learning_rate"),
        (["--set", "learning_rate"], 2, "KEY=VALUE"),
        (["--resume"], 3, "no unfinished training"),
        (["--fast"], 3, "hurry"),
        (["--set", "optimizer=sgd", "--set", "learning_rate=1e30", "--set", "l2=1"], 5, "loss"),
    ],
)
def test_a_failure_ends_with_its_exit_code_and_leaves_nothing(
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert main(["train", str(recipe), "-o", str(tmp_path / "run"), *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["recipe"]


def test_an_interrupt_ends_with_130_and_says_how_to_go_on(
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(state: Progress) -> None:
        if state.epoch == 2:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr("toolkit.cli.train._lines", interrupt)
        assert main(["train", str(recipe), "-o", str(run)]) == 130
    assert "--resume" in capsys.readouterr().err
    assert main(["train", str(recipe), "-o", str(run), "--resume"]) == 0
    assert (run / "run.json").is_file()


@pytest.mark.slow
def test_a_recipe_file_runs_by_itself(recipe: Path, tmp_path: Path) -> None:
    command = "from toolkit.cli.train import train_file\n\n    train_file(__file__)\n"
    recipe.write_text(f'{TABULAR}\nif __name__ == "__main__":\n    {command}')
    arguments = [sys.executable, str(recipe), "--set", "max_epochs=1", "--json"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["run"] == str(Path("runs") / "recipe")
    assert (tmp_path / "runs" / "recipe" / "run.json").is_file()
