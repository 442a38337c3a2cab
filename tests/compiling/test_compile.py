"""Packages that hold what QNN compiled for several chips, on the simulator of its wheel."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.quantize.packages import WORDS, copy_package, write_data, write_words_package
from toolkit import compile as compile_package
from toolkit import load, validate
from toolkit.compiling import CompileReport, job
from toolkit.compiling.sizes import chosen_sizes
from toolkit.compiling.step import chips_of
from toolkit.errors import CheckFailedError, InputError, SetupError, ToolkitError, ToolkitWarning
from toolkit.package import ModelPackage
from toolkit.package.write import CompiledFor, add_variant, staging_directory
from toolkit.runtime import Provider, SessionOptions
from toolkit.runtime.failures import CompiledModelError

pytestmark = pytest.mark.skipif(
    find_spec("onnxruntime_qnn") is None, reason="onnxruntime-qnn, of the extra qnn, is missing"
)
QNN = "QNNExecutionProvider"
TEXTS = [" ".join(WORDS[i : i + 16]) for i in range(0, 96, 8)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_words_package(tmp_path_factory.mktemp("plain") / "words.ortpackage")


@pytest.fixture(scope="module")
def compiled(
    plain: ModelPackage, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, CompileReport]:
    """A package that was compiled for two chips, and what the step said."""
    path = copy_package(plain, tmp_path_factory.mktemp("compiled") / "words.ortpackage")
    return path, compile_package(path, socs=["57", "SM8750"])


def on_qnn(path: Path, variant: str | None = None, **options: str) -> Any:
    chosen = SessionOptions(provider=Provider.QNN, provider_options=options)
    return load(path, variant=variant, options=chosen)


def files_of(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def test_every_chip_gets_a_variant_of_its_own(compiled: tuple[Path, CompileReport]) -> None:
    path, report = compiled
    assert [(one.variant, one.soc) for one in report.compiled] == [
        ("qnn-57", "57"),
        ("qnn-69", "69"),
    ]
    assert [(one.share, dict(one.elsewhere)) for one in report.compiled] == [(1.0, {})] * 2
    assert [variant.name for variant in ModelPackage.open(path).variants] == [
        "fp32",
        "qnn-57",
        "qnn-69",
    ]
    variants = json.loads((path / "model" / "component.json").read_text())["variants"]
    for one in report.compiled:
        entry = variants[one.variant]
        assert entry["ep"] == QNN
        assert entry["compatibility_string"].split(":")[5] == one.soc
        assert entry["executor_info"]["ort"]["provider_options"] == {
            "backend_type": "htp",
            "soc_model": one.soc,
        }
    assert "compatibility_string" not in variants["fp32"]


def test_shapes_that_are_not_given_come_from_the_package(
    plain: ModelPackage, compiled: tuple[Path, CompileReport]
) -> None:
    _, report = compiled
    assert report.shapes == {"batch": 1, "sequence": 16}  # the longest text that the model takes
    assert report.chosen == ("batch", "sequence")
    assert chosen_sizes(plain, {"sequence": 8}) == {"batch": 1, "sequence": 8}


def test_a_provider_is_given_the_variant_of_its_chip(compiled: tuple[Path, CompileReport]) -> None:
    path, _ = compiled
    expected = [result["label"] for result in load(path).batch(TEXTS)]
    for options, name in (({}, "qnn-57"), ({"soc_model": "69"}, "qnn-69")):
        model = on_qnn(path, **options)
        assert (model.variant, dict(model.placement)) == (name, {QNN: 1})
        assert [result["label"] for result in model.batch(TEXTS)] == expected
    assert load(path).variant == "fp32"


def test_another_chip_is_refused(compiled: tuple[Path, CompileReport]) -> None:
    path, _ = compiled
    with pytest.raises(CompiledModelError, match="for chip 57, and soc_model is 69") as caught:
        on_qnn(path, "qnn-57", soc_model="69")
    assert caught.value.exit_code == 3


def test_validate_opens_them_on_their_provider(compiled: tuple[Path, CompileReport]) -> None:
    path, report = compiled
    checked = validate(path)
    assert checked.passed
    values = {one.variant: one.value for one in checked.checks if one.name == "reference outputs"}
    for one in report.compiled:
        assert values[one.variant] == pytest.approx(one.max_abs_error)
        assert values[one.variant] > 0  # halves are no float32: nothing was answered by the CPU


def test_validate_says_what_it_cannot_open(
    compiled: tuple[Path, CompileReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = compiled
    monkeypatch.setattr("toolkit.compiling.checks.built_in_providers", lambda: ["CPU"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        checked = validate(path)
    assert {one.variant for one in checked.checks} == {"", "fp32"}
    told = [str(one.message) for one in caught if one.category is ToolkitWarning]
    assert [text.split(" was ")[0] for text in told] == ["variant qnn-57", "variant qnn-69"]


def test_validate_of_a_named_variant_does_not_pass_unopened(
    compiled: tuple[Path, CompileReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = compiled
    monkeypatch.setattr("toolkit.runtime.session.is_installed", lambda _: False)
    monkeypatch.setattr("toolkit.runtime.session.has_devices", lambda _: False)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(SetupError, match="has no QNNExecutionProvider"):
        validate(path, variant="qnn-69")


@pytest.mark.parametrize(
    "provider, given, problem, code",
    [
        ("cuda", {}, "no CUDAExecutionProvider", 4),
        ("cpu", {"foo": "1"}, "no option 'foo'", 3),
        ("qnn", {"foo": "1"}, "no option 'foo'", 3),
        ("qnn", {"soc_model": "69"}, "for chip 57, and soc_model is 69", 3),
        ("qnn", {"soc_model": "9999"}, "compiled for", 3),
    ],
)
def test_validate_of_a_named_variant_asks_the_provider_that_was_given(
    compiled: tuple[Path, CompileReport],
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    given: dict[str, str],
    problem: str,
    code: int,
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    options = SessionOptions(provider=Provider(provider), provider_options=given)
    with pytest.raises(ToolkitError, match=problem) as caught:
        validate(compiled[0], variant="qnn-57", options=options)
    assert caught.value.exit_code == code


def test_sizes_that_a_variant_was_compiled_at_may_be_given(
    compiled: tuple[Path, CompileReport],
) -> None:
    path, _ = compiled
    options = SessionOptions(provider=Provider.QNN, fix_shapes={"batch": 1, "sequence": 16})
    model = load(path, options=options)
    assert (model.variant, dict(model.placement)) == ("qnn-57", {QNN: 1})
    model = load(path, options=replace(options, fix_shapes={"batch": 1, "sequence": 4}))
    assert model.variant == "fp32"


def test_validate_finds_a_compiled_graph_that_answers_otherwise(
    compiled: tuple[Path, CompileReport], tmp_path: Path
) -> None:
    path, report = compiled
    other = write_words_package(tmp_path / "other.ortpackage", seed=5)
    entry = ModelPackage.open(path).variant("qnn-57")
    with staging_directory(other) as folder:
        shutil.copytree(entry.model.parent, folder / "model")
        add_variant(
            other,
            folder / "model",
            name="qnn-57",
            precision="fp16",
            method="qnn-fp16",
            parent="fp32",
            parity=entry.contents.parity,
            details=entry.contents.details,
            step="compile",
            preferred=False,
            compiled=CompiledFor(
                ep=QNN,
                provider_options={"soc_model": "57"},
                compatibility=report.compiled[0].compatibility,
            ),
        )
    failed = [(one.name, one.variant) for one in validate(other.path).checks if not one.passed]
    assert failed == [("reference outputs", "qnn-57")]


def test_a_name_that_is_taken_needs_force(compiled: tuple[Path, CompileReport]) -> None:
    path, _ = compiled
    before = files_of(path)
    with pytest.raises(InputError, match="already has a variant 'qnn-57'"):
        compile_package(path, socs=["57"])
    assert files_of(path) == before


@pytest.mark.slow
def test_a_failure_at_the_second_chip_leaves_the_package_as_it_was(
    plain: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_package(plain, tmp_path / "words.ortpackage")
    before = files_of(path)
    with pytest.raises(InputError, match="knows no chip 999") as caught:
        compile_package(path, socs=["57", "999"], fix_shapes={"sequence": 4})
    assert "SM8650 (57)" in caught.value.expected
    assert files_of(path) == before
    monkeypatch.setattr(job, "SQNR_DB", 200.0)
    with pytest.raises(CheckFailedError, match="dB") as missed:
        compile_package(path, socs=["57"], fix_shapes={"sequence": 4})
    assert missed.value.exit_code == 5
    assert files_of(path) == before


@pytest.mark.slow
def test_a_chip_without_halves_says_what_it_takes(plain: ModelPackage) -> None:
    before = files_of(plain.path)
    with pytest.raises(SetupError, match="chip 30: QNNExecutionProvider") as caught:
        compile_package(plain.path, socs=["SM8350"], fix_shapes={"sequence": 4})
    assert caught.value.fix.endswith("--precision int8 --data FILE")
    assert files_of(plain.path) == before


def test_a_compiled_variant_is_not_compiled_again(compiled: tuple[Path, CompileReport]) -> None:
    path, _ = compiled
    with pytest.raises(InputError, match="'qnn-57' was compiled already"):
        compile_package(path, variant="qnn-57", name="again")


@pytest.mark.parametrize(
    "given, problem, helps",
    [
        ({"provider": Provider.CUDA}, "cuda compiles nothing", "--provider qnn"),
        ({"socs": ["SM1"]}, "no chip 'SM1'", "SM8650 (57)"),
        ({"socs": ["0"]}, "no chip '0'", "SM8650 (57)"),
        ({"socs": ["57"], "provider_options": {"soc_model": "69"}}, "given twice", "--soc 57"),
        ({"fix_shapes": {"batc": 1}}, "no dimension 'batc'", "batch=1,sequence=128"),
        ({"fix_shapes": {"batch": 0}}, "cannot be 0", "1 or more"),
        ({"precision": "int8"}, "there is none", "--data FILE"),
        ({"provider_options": {"speed": "1"}}, "no option 'speed'", "soc_model"),
        ({"require": {"cpu": 0.5}}, "the provider asked for is qnn", "qnn=SHARE"),
        ({"variant": "int4"}, "no variant 'int4'", "fp32"),
    ],
)
def test_what_cannot_be_compiled_is_said_before_anything_is(
    plain: ModelPackage, given: dict[str, Any], problem: str, helps: str
) -> None:
    before = files_of(plain.path)
    with pytest.raises(InputError, match=problem) as caught:
        compile_package(plain.path, **given)
    assert helps in caught.value.expected + caught.value.fix
    assert files_of(plain.path) == before


def test_a_bare_model_cannot_hold_a_variant(plain: ModelPackage) -> None:
    with pytest.raises(InputError, match="bare model"):
        compile_package(plain.variant().model)


def test_a_package_without_reference_needs_its_shapes_named(
    plain: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelPackage, "asset", lambda *_: None)
    with pytest.raises(InputError, match=r"input_ids: int64\[batch, sequence\]") as caught:
        chosen_sizes(plain, {"batch": 1})
    assert caught.value.fix.startswith("--fix-shapes batch=1,sequence=")


def test_chips_are_taken_by_name_and_number_and_each_once() -> None:
    assert chips_of(["57", " sm8650", "SM8750", "41"]) == ("57", "69", "41")


@pytest.mark.slow
def test_activations_of_16_bits_answer_as_the_cpu_does(plain: ModelPackage, tmp_path: Path) -> None:
    path = copy_package(plain, tmp_path / "words.ortpackage")
    data = write_data(tmp_path / "data.csv", path, rows=40)
    report = compile_package(path, socs=["57"], precision="int8-16bit", data=data, samples=15)
    (made,) = report.compiled
    assert (made.variant, made.samples, made.agreement) == ("qnn-int8-16bit-57", 15, 1.0)
    variant = ModelPackage.open(path).variant(made.variant)
    assert (variant.contents.precision, variant.contents.method) == ("int8", "qnn-int8-16bit")
    assert made.elsewhere == {"DequantizeLinear": 1}
    assert made.reasons == {
        "DequantizeLinear": "writes a graph output in float, which the CPU does"
    }
    # What quantized weights take: a byte each, of the four or two that floats would.
    assert made.size_bytes < plain.variant().contents.size_bytes
    assert validate(path, data=data, variant=made.variant).passed


@pytest.mark.slow
def test_the_command_prints_one_document(plain: ModelPackage, tmp_path: Path) -> None:
    path = copy_package(plain, tmp_path / "words.ortpackage")
    command = [sys.executable, "-m", "toolkit", "compile", str(path), "--soc", "69"]
    done = subprocess.run(
        [*command, "--fix-shapes", "batch=2,sequence=8", "--require", "qnn=1", "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert next(iter(document)) == "schema_version"
    assert document["shapes"] == {"batch": 2, "sequence": 8}
    assert (document["variants"], document["chosen"]) == (["qnn-69"], [])
    assert document["compiled"][0]["share"] == 1.0
    model = on_qnn(path, soc_model="69")
    assert len(model.batch([text[:20] for text in TEXTS[:3]])) == 3  # of a batch of two


def test_outputs_of_two_chips_are_those_of_one_graph(
    compiled: tuple[Path, CompileReport],
) -> None:
    path, _ = compiled
    rows = {"input_ids": np.arange(16).reshape(1, 16)}
    first, second = (on_qnn(path, name).run(rows)["logits"] for name in ("qnn-57", "qnn-69"))
    np.testing.assert_allclose(first, second, rtol=1e-2)
