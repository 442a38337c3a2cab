"""What `--force` may replace, and what it never may."""

from pathlib import Path

import pytest

from tests.tiny_package import write_tiny_package
from toolkit import bundle
from toolkit.bundle import BundleOptions
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.package.replacing import replacing


def write(path: Path, *, force: bool = True, sources: tuple[Path, ...] = ()) -> None:
    with replacing(path, force=force, sources=sources) as staging:
        (staging / "run.json").write_text("new")


def fail(path: Path, failure: BaseException, *, beside: Path | None = None) -> None:
    """Stop half-way, after another process wrote a file there where one is named."""
    with replacing(path, force=False) as staging:
        (staging / "half.txt").write_text("half")
        if beside is not None:
            beside.write_text("mine")
        raise failure


def thesis(folder: Path) -> Path:
    folder.mkdir()
    file = folder / "thesis.txt"
    file.write_text("years")
    return file


def test_what_is_ours_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "run", force=False)
    (tmp_path / "run" / "old.txt").write_text("old")
    write(tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["run.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), InputError("no")])
def test_folders_above_go_again_where_nothing_was_written(
    tmp_path: Path, failure: BaseException
) -> None:
    (tmp_path / "there").mkdir()
    path = tmp_path / "there" / "a" / "b" / "run"
    with pytest.raises(type(failure)):
        fail(path, failure)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_folders_above_stay_with_what_was_written_or_put_into_them(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "run", force=False)
    assert (tmp_path / "a" / "b" / "run" / "run.json").read_text() == "new"
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "c" / "d" / "run", KeyboardInterrupt(), beside=tmp_path / "c" / "mine.txt")
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["mine.txt"]


def test_a_strangers_folder_is_never_replaced(tmp_path: Path) -> None:
    file = thesis(tmp_path / "work")
    with pytest.raises(InputError, match="neither a package nor a run nor a bundle"):
        write(file.parent)
    assert file.read_text() == "years"


@pytest.mark.parametrize("typed", [".", "..", "../work", "/"])
def test_the_folder_one_is_in_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    file = thesis(tmp_path / "work")
    (file.parent / "run.json").write_text("ours")  # which alone would allow it
    (tmp_path / "run.json").write_text("ours")
    monkeypatch.chdir(file.parent)
    with pytest.raises(InputError, match="the folder you are in"):
        write(Path(typed))
    assert file.read_text() == "years"


def test_home_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = thesis(tmp_path / "home")
    (file.parent / "run.json").write_text("ours")
    monkeypatch.setenv("HOME", str(file.parent))
    with pytest.raises(InputError, match="your home"):
        write(file.parent)
    assert file.read_text() == "years"


def test_a_source_and_what_is_made_of_it_lie_apart(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "models" / "tiny.ortpackage").path
    (tmp_path / "models" / "run.json").write_text("ours")
    for output in (package, package / "inner"):
        with pytest.raises(InputError, match="lies in the package"):
            bundle(package, target="python", output=output, force=True)
    with pytest.raises(InputError, match="which it is made of"):
        bundle(package, target="python", output=tmp_path / "models", force=True)
    write(
        package.parent / "beside", sources=(package.parent,)
    )  # as of a checkpoint in one's folder
    assert (package / "manifest.json").is_file()


def test_a_link_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "run", force=False)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "run")
    (tmp_path / "run" / "old.txt").write_text("old")
    write(link)
    assert link.is_symlink()
    assert not (tmp_path / "run" / "old.txt").exists()


def test_a_bundle_says_what_it_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage").path
    arguments = ["bundle", str(package), "--target", "python", "-o", str(tmp_path / "app")]
    arguments += ["--no-self-test", "-q"]
    assert main(arguments) == 0
    assert "replaced" not in capsys.readouterr().out
    assert main([*arguments, "--force"]) == 0
    assert f"replaced what stood at {tmp_path / 'app'}" in capsys.readouterr().out
    options = BundleOptions(self_test=False)
    assert bundle(
        package, target="python", output=tmp_path / "app", options=options, force=True
    ).replaced


def test_an_export_into_the_folder_one_is_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = thesis(tmp_path / "work")
    monkeypatch.chdir(file.parent)
    assert main(["export", "model.onnx", "-o", ".", "--force"]) == 3
    assert file.read_text() == "years"
