"""`toolkit bundle`: what every target has in common."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import builders
from tests.bundle.packages import text_package
from tests.tiny_package import add_preferred_variant, write_tiny_package
from toolkit import bundle, export
from toolkit.bundle import BundleOptions, Job, step, targets
from toolkit.bundle.cases import LIMITS, QUANTIZED_LIMIT
from toolkit.bundle.report import Runtime
from toolkit.bundle.targets import python
from toolkit.cli.main import main
from toolkit.errors import CheckFailedError, InputError
from toolkit.package import ModelPackage
from toolkit.package.integrity import file_hashes
from toolkit.package.tuned import machine_class
from toolkit.package.write import CompiledFor, add_variant, staging_directory
from toolkit.package.write_tuned import write_tuned
from toolkit.runtime import Session

UNTESTED = BundleOptions(self_test=False)


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_tiny_package(tmp_path / "tiny.ortpackage")


def use(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    """Let the target python be another one in some fields."""
    changed = replace(python.TARGET, **fields)
    monkeypatch.setattr(step, "target_named", lambda name: changed)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_json_says_what_was_written(
    package: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "app"
    arguments = ["bundle", str(package.path), "--target", "python", "-o", str(folder), "--json"]
    assert main(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said)[:2] == ["schema_version", "target"]
    assert said["target"] == "python"
    assert {part["path"] for part in said["files"]} == set(file_hashes(folder))
    assert said["size_bytes"] == sum(file.stat().st_size for file in folder.rglob("*.*"))
    assert said["self_test"]["ran"] is True
    assert said["self_test"]["largest_difference"] == 0
    assert said["self_test"]["cases"] == 2
    assert [one["name"] for one in said["runtime"]] == ["onnxruntime", "numpy", "tokenizers"]


def test_a_folder_that_is_not_empty_is_left_alone_without_force(
    package: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    arguments = ["bundle", str(package.path), "--target", "python", "-o", str(folder)]
    assert main(arguments) == 3
    assert str(folder) in capsys.readouterr().err
    assert names(folder) == {"mine.txt"}
    assert main([*arguments, "--force"]) == 3  # nor with it: this is no bundle
    assert names(folder) == {"mine.txt"}


def test_an_interrupt_half_way_leaves_nothing(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(job: Job, folder: Path) -> Any:
        (folder / "half.py").write_text("half")
        raise KeyboardInterrupt

    use(monkeypatch, write=interrupted)
    before = names(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        bundle(package.path, target="python", output=tmp_path / "app", options=UNTESTED)
    assert names(tmp_path) == before


def test_a_self_test_that_fails_leaves_nothing_and_what_stood_there(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(job: Job, folder: Path) -> Any:
        graph = folder / "model" / "model.onnx"
        graph.write_bytes(graph.read_bytes() + b"\0\0")
        return python.self_test(job, folder)

    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "sbom.cdx.json").write_text("an older bundle's")
    use(monkeypatch, self_test=broken)
    with pytest.raises(CheckFailedError, match=r"python app.py --self-test"):
        bundle(package.path, target="python", output=folder, force=True)
    assert names(folder) == {"sbom.cdx.json"}


def test_an_unknown_target_is_named(package: ModelPackage, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'toaster'") as caught:
        bundle(package.path, target="toaster", output=tmp_path / "app")
    assert "python" in caught.value.expected
    typed = ["bundle", str(package.path), "--target", "toaster", "-o", str(tmp_path / "app")]
    assert main(typed) == 2
    assert not (tmp_path / "app").exists()


def test_every_target_is_the_one_of_its_name() -> None:
    made = [
        name for name in targets.NAMES if Path(targets.__file__).with_name(f"{name}.py").exists()
    ]
    assert "python" in made
    assert [targets.target_named(name).name for name in made] == made


def test_a_task_without_an_app_is_refused(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, tasks=frozenset({"tensors"}))
    with pytest.raises(InputError, match="text-classification") as caught:
        bundle(package.path, target="python", output=tmp_path / "app")
    assert caught.value.expected == "one of tensors"
    assert not (tmp_path / "app").exists()


def with_compiled(package: ModelPackage, name: str, ep: str, *, preferred: bool) -> ModelPackage:
    """The package with one more variant, which only one provider runs."""
    with staging_directory(package) as staging:
        model = staging / "model"
        shutil.copytree(package.variant("fp32").model.parent, model)
        return add_variant(
            package,
            model,
            name=name,
            precision="fp32",
            method="compiled",
            parent="fp32",
            parity={},
            details={},
            step="compile",
            preferred=preferred,
            compiled=CompiledFor(ep=ep, provider_options={}, compatibility="v75"),
        )


def test_a_compiled_variant_is_refused_and_another_named(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = with_compiled(package, "htp", "QNNExecutionProvider", preferred=False)
    package = with_compiled(package, "intel", "OpenVINOExecutionProvider", preferred=True)
    assert package.variants[0].name == "intel"
    with pytest.raises(InputError, match="QNNExecutionProvider") as caught:
        bundle(package.path, target="python", output=tmp_path / "app", variant="htp")
    assert caught.value.fix == "--variant fp32"
    compiled = [one for one in package.variants if one.name != "fp32"]
    monkeypatch.setattr(ModelPackage, "variants", property(lambda self: tuple(compiled)))
    with pytest.raises(InputError, match="QNNExecutionProvider") as caught:
        bundle(package.path, target="python", output=tmp_path / "app", variant="htp")
    assert "toolkit export" in caught.value.fix


def test_a_graph_that_is_too_large_for_the_target_is_refused(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, largest_bytes=100)
    with pytest.raises(InputError, match="MB") as caught:
        bundle(package.path, target="python", output=tmp_path / "app")
    assert "toolkit quantize" in caught.value.fix


def test_the_variant_that_is_asked_for_is_bundled(package: ModelPackage, tmp_path: Path) -> None:
    add_preferred_variant(package, name="int8", threshold=6, limit=1.0)
    for name, limit in (("fp32", LIMITS["fp32"]), ("int8", QUANTIZED_LIMIT)):
        folder = tmp_path / name
        bundle(package.path, target="python", output=folder, variant=name, options=UNTESTED)
        about = json.loads((folder / "model" / "model.json").read_text())
        assert about["variant"] == name
        assert about["self_test"]["limit"] == pytest.approx(limit * 4, rel=0.3)  # logits to 4 or 3
        graph = package.component_directory / name / "model.onnx"
        assert (folder / "model" / "model.onnx").read_bytes() == graph.read_bytes()


def test_two_bundles_of_one_package_are_the_same_bytes(
    package: ModelPackage, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        bundle(package.path, target="python", output=tmp_path / name, options=UNTESTED)
    assert file_hashes(tmp_path / "a") == file_hashes(tmp_path / "b")


def test_weights_in_a_file_of_their_own_come_along(tmp_path: Path) -> None:
    builders.matmul(tmp_path / "m.onnx", external="weights.bin")
    package = export(tmp_path / "m.onnx", tmp_path / "m.ortpackage").package
    (tmp_path / "weights.bin").unlink()
    folder = tmp_path / "app"
    report = bundle(package, target="python", output=folder)
    assert report.self_test.ran
    kinds = {part.path: part.kind for part in report.parts}
    assert kinds["model/weights.bin"] == kinds["model/model.onnx"] == "model"
    about = json.loads((folder / "model" / "model.json").read_text())
    assert {"weights.bin", "model.onnx"} <= set(about["files"])


def test_sizes_that_are_fixed_are_those_of_graph_and_texts(tmp_path: Path) -> None:
    package = text_package(tmp_path / "a.ortpackage")
    folder = tmp_path / "app"
    sizes = {"batch": 1, "sequence": 12}
    bundle(package.path, target="python", output=folder, options=BundleOptions(fix_shapes=sizes))
    about = json.loads((folder / "model" / "model.json").read_text())
    assert [one["shape"] for one in about["inputs"]] == [[1, 12]] * 3
    assert about["text"]["length"] == about["text"]["max_length"] == 12
    for case in about["self_test"]["cases"]:
        assert [one["shape"] for one in case["inputs"]] == [[1, 12]] * 3


def test_a_size_that_the_graph_does_not_have_is_refused(
    package: ModelPackage, tmp_path: Path
) -> None:
    options = BundleOptions(fix_shapes={"length": 12})
    with pytest.raises(InputError, match="length"):
        bundle(package.path, target="python", output=tmp_path / "app", options=options)
    assert not (tmp_path / "app").exists()


def test_more_tokens_than_the_model_takes_are_refused_before_anything_is_written(
    package: ModelPackage, tmp_path: Path
) -> None:
    options = BundleOptions(fix_shapes={"batch": 1, "sequence": 4000})
    with pytest.raises(InputError, match="texts of 4000 tokens") as raised:
        bundle(package.path, target="python", output=tmp_path / "app", options=options)
    assert raised.value.expected.startswith("at most 16,")
    assert raised.value.fix == "--fix-shapes sequence=16"
    assert not (tmp_path / "app").exists()


def test_a_batch_of_several_is_refused_since_apps_run_one_item(tmp_path: Path) -> None:
    package = text_package(tmp_path / "a.ortpackage")
    options = BundleOptions(fix_shapes={"batch": 4})
    with pytest.raises(InputError, match="takes 4 items in a run") as caught:
        bundle(package.path, target="python", output=tmp_path / "app", options=options)
    assert caught.value.fix == "--fix-shapes batch=1"


def test_a_bundle_above_its_budget_is_not_kept(
    package: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "app"
    before = names(tmp_path)
    typed = ["bundle", str(package.path), "--target", "python", "-o", str(folder), "-q"]
    assert main([*typed, "--max-size", "0.02MB"]) == 5
    said = capsys.readouterr().err
    assert "at most 0.02 MB" in said
    assert "app.py 0.01 MB" in said
    assert "onnxruntime beside it" in said
    assert names(tmp_path) == before
    assert main([*typed, "--max-size", "1MB", "--no-self-test"]) == 0


@pytest.mark.parametrize("size", ["25", "MB", "-3MB", "0kB", "nanMB", "infGB", "3 TB"])
def test_a_budget_that_is_no_size_is_typed_wrongly(
    size: str, package: ModelPackage, tmp_path: Path
) -> None:
    typed = ["bundle", str(package.path), "--target", "python", "-o", str(tmp_path / "app")]
    assert main([*typed, f"--max-size={size}"]) == 2


def test_a_graph_that_answers_nan_is_not_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = text_package(tmp_path / "a.ortpackage")
    answers = {"logits": np.full((1, 3), np.nan, np.float32)}
    monkeypatch.setattr(Session, "run", lambda self, feeds: answers)
    with pytest.raises(CheckFailedError, match="'logits' of reference case 1"):
        bundle(package.path, target="python", output=tmp_path / "app")


def test_a_self_test_that_leaves_files_behind_is_a_bug(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def littering(job: Job, folder: Path) -> Any:
        (folder / "litter.txt").write_text("left")
        return python.self_test(job, folder)

    use(monkeypatch, self_test=littering)
    with pytest.raises(AssertionError, match=r"litter\.txt"):
        bundle(package.path, target="python", output=tmp_path / "app")
    assert not (tmp_path / "app").exists()


def test_licenses_of_what_is_in_the_bundle_come_along(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_a_library(job: Job, folder: Path) -> list[Runtime]:
        (folder / "runtime").mkdir()
        (folder / "runtime" / "ort.License.md").write_text("MIT")
        (folder / "runtime" / "licensed.py").write_text("")
        return [replace(one, included=True) for one in python.write(job, folder)]

    use(monkeypatch, write=with_a_library)
    folder = tmp_path / "app"
    bundle(package.path, target="python", output=folder, options=UNTESTED)
    own = Path("LICENSE").read_text(encoding="utf-8")
    assert (folder / "LICENSES" / "Apache-2.0.txt").read_text(encoding="utf-8") == own
    notice = (folder / "NOTICE.txt").read_text(encoding="utf-8")
    assert "The app: Apache-2.0" in notice
    assert "max_token.onnx" in notice
    assert "(in the bundle): MIT." in notice
    assert notice.splitlines()[-2:] == ["LICENSES/Apache-2.0.txt", "runtime/ort.License.md"]
    bill = json.loads((folder / "sbom.cdx.json").read_text(encoding="utf-8"))
    inside = [one["properties"] for one in bill["components"] if one["type"] == "library"]
    assert inside == [[{"name": "toolkit:in-bundle", "value": "true"}]] * 3


def test_what_was_tuned_for_this_machine_does_not_travel(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    variant = package.variant().name
    threads = {"session.intra_op_num_threads": "7"}
    write_tuned(package, variant, session_options=threads, machine=machine_class(), evidence={})
    tuned = ModelPackage.open(package.path)
    assert tuned.variant().session_options == threads
    made = bundle(tuned.path, target="python", output=tmp_path / "out")
    document = json.loads((made.path / "model" / "model.json").read_text())
    assert document["session_options"] == {}
