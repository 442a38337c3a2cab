"""What is refused, and that a failure of any kind leaves the disk as it was."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from tests import builders
from toolkit import InputError, export
from toolkit.cli.main import main
from toolkit.export import step
from toolkit.package.integrity import file_hashes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    builders.matmul(folder / "m.onnx")
    return folder / "m.onnx"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "m.ortpackage"


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(step, "write_package", fail)


@pytest.mark.parametrize("has_package", [False, True])
def test_a_full_disk_is_an_input_error_and_changes_nothing(
    has_package: bool, model: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_package:
        export(model, target)
    before = file_hashes(target.parent) if has_package else {}
    fail_with(OSError(errno.ENOSPC, "No space left on device"), monkeypatch)
    with pytest.raises(InputError, match=r"m\.ortpackage cannot be written: No space left"):
        export(model, target, force=True)
    assert file_hashes(target.parent) == before


@pytest.mark.parametrize("has_package", [False, True])
def test_an_interrupt_changes_nothing(
    has_package: bool, model: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_package:
        export(model, target)
    before = file_hashes(target.parent) if has_package else {}
    fail_with(KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        export(model, target, force=True)
    assert file_hashes(target.parent) == before
    assert target.parent.exists() == has_package  # a folder that was made for it goes again
    if has_package:
        assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_package_is_replaced_only_with_force(model: Path, target: Path) -> None:
    assert not export(model, target).replaced
    with pytest.raises(InputError, match="not empty"):
        export(model, target)
    assert export(model, target, force=True).replaced


def test_force_does_not_replace_a_folder_that_is_no_package(model: Path, target: Path) -> None:
    target.mkdir(parents=True)
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="no package"):
        export(model, target, force=True)
    assert (target / "thesis.txt").read_text() == "mine"


def test_force_does_not_replace_the_source(model: Path, target: Path) -> None:
    export(model, target)
    inside = target / "model" / "fp32" / "model.onnx"
    with pytest.raises(InputError, match="holds the source"):
        export(inside, target, force=True)
    assert inside.is_file()


@pytest.mark.parametrize(
    "options, fact",
    [
        ({"opset": 23}, "18 to 21"),
        ({"opset": 7}, "18 to 21"),
        ({"tolerance": float("nan")}, "from 0 on"),
        ({"exporter": "tf2onnx"}, "auto, torchscript, transformers, torch, optimum"),
    ],
)
def test_options_are_checked_before_anything_runs(
    options: dict[str, object], fact: str, model: Path, target: Path
) -> None:
    with pytest.raises(InputError) as caught:
        export(model, target, **options)  # type: ignore[arg-type]  # wrong on purpose
    assert fact in caught.value.expected
    assert not target.exists()


def test_the_name_of_a_package_ends_in_its_suffix(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        export(model, tmp_path / "m")
    assert "m.ortpackage" in caught.value.fix


def test_sources_of_no_known_kind_hear_what_is_accepted(tmp_path: Path, target: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, fact in (
        (tmp_path / "empty", "nothing that can be exported"),
        (tmp_path / "none", "does not exist"),
        ("a sentence", "does not exist"),
    ):
        with pytest.raises(InputError, match=fact) as caught:
            export(source, target)
        assert "run directory" in caught.value.expected


def test_the_command_prints_one_document_with_the_promised_keys(
    model: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(model), "-o", str(target), "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["schema_version"] == "1"
    assert document["package"] == str(target)
    assert document["variant"] == "fp32"
    assert document["parity"].keys() >= {"max_abs_error", "limit", "shapes"}
    assert document["seconds"] > 0
    assert "writing" in captured.err


def test_the_command_takes_reference_feeds(
    model: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "feeds.npz", x=np.ones((5, 3), np.float32))
    feeds = ["--reference", str(tmp_path / "feeds.npz")]
    assert main(["export", str(model), "-o", str(target), "--json", *feeds]) == 0
    assert json.loads(capsys.readouterr().out)["parity"]["shapes"] == [{"batch": 5}]


@pytest.mark.torch
def test_a_miss_exits_5_and_writes_nothing(
    target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["export", "tests.export.nets:branching", "-o", str(target), "-q", "--json"])
    captured = capsys.readouterr()
    assert (code, captured.out) == (5, "")
    assert "batch 5, sequence 13" in captured.err
    assert not target.exists()


@pytest.mark.torch
@pytest.mark.parametrize(
    "name, fact",
    [("three_logits_two_labels", "float32[8, 3]"), ("reads_a_file", "FileNotFoundError")],
)
def test_a_module_that_does_not_fit_its_task_or_fails_is_named(
    target: Path, name: str, fact: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", f"tests.export.nets:{name}", "-o", str(target), "-q"]) == 3
    error = capsys.readouterr().err
    assert fact in error
    assert name in error
    assert not target.exists()
