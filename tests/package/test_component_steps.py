"""Steps on a package of several components: all of them, or the one that is named."""

import json
from pathlib import Path

import pytest

from tests.package.two_components import add_decoder, write_two_components
from tests.tiny_package import GRAPH
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.evaluate.validation import validate
from toolkit.inspection import inspect_model
from toolkit.package import ModelPackage
from toolkit.profiling.compare import compare
from toolkit.profiling.specification import open_model, parse
from toolkit.quantize import quantize


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_two_components(tmp_path / "two.ortpackage")


def test_validate_checks_every_component_and_says_which(package: ModelPackage) -> None:
    add_decoder(package)
    report = validate(package.path)
    assert report.passed
    names = [(check.name, check.variant) for check in report.checks]
    assert names[0] == ("integrity", "")
    for name, variants in (("encoder", ["fp32"]), ("decoder", ["int8", "fp32"])):
        parity = f"{name}: reference outputs"
        assert [variant for check, variant in names if check == parity] == variants


def test_validate_finds_what_is_wrong_with_the_second_component(package: ModelPackage) -> None:
    add_decoder(package, bias=1.0)
    failed = [check for check in validate(package.path).checks if not check.passed]
    assert [(check.name, check.variant) for check in failed] == [
        ("decoder: reference outputs", "int8")
    ]


def test_validate_takes_one_component_or_one_variant_of_each(package: ModelPackage) -> None:
    add_decoder(package)
    one = validate(package.path, component="decoder", variant="fp32")
    assert {(c.name.partition(":")[0], c.variant) for c in one.checks[1:]} == {("decoder", "fp32")}
    each = validate(package.path, variant="int8")
    assert {(c.name.partition(":")[0], c.variant) for c in each.checks[1:]} == {
        ("encoder", "fp32"),
        ("decoder", "int8"),
    }


def test_labeled_data_are_not_for_one_component(package: ModelPackage, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="components encoder, decoder"):
        validate(package.path, data=tmp_path / "any.csv", component="encoder")


def test_inspect_shows_every_component(
    package: ModelPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    add_decoder(package)
    assert main(["inspect", str(package.path)]) == 0
    shown = capsys.readouterr().out
    assert shown.index("two.ortpackage encoder fp32") < shown.index("two.ortpackage decoder int8")
    assert "decoder_ids: int64[batch, target]" in shown
    assert "quantize decoder/int8" in shown
    assert shown.count("task") == 1


def test_the_document_of_inspect_has_the_first_component_and_a_list(
    package: ModelPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(package.path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["component"] == "encoder"
    assert [spec["name"] for spec in document["inputs"]] == ["input_ids"]
    assert [part["component"] for part in document["components"]] == ["encoder", "decoder"]
    decoder = document["components"][1]
    assert [spec["name"] for spec in decoder["outputs"]] == ["logits"]
    assert [variant["name"] for variant in decoder["variants"]] == ["fp32"]
    assert main(["inspect", str(package.path), "--component", "decoder", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [spec["name"] for spec in document["outputs"]] == ["logits"]
    assert [part["component"] for part in document["components"]] == ["decoder"]


@pytest.mark.parametrize("command", ["inspect", "validate", "profile", "quantize"])
def test_an_unknown_component_is_an_input_error(
    package: ModelPackage, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", "any.csv"] if command == "quantize" else []
    assert main([command, str(package.path), "--component", "vocoder", *data]) == 3
    assert "expected: one of encoder, decoder" in capsys.readouterr().err


def test_a_component_of_a_bare_file_is_refused() -> None:
    for call in (inspect_model, validate, open_model):
        with pytest.raises(InputError, match="is a bare model: it has no component"):
            call(GRAPH, component="encoder")


def test_quantize_starts_from_the_component_that_is_named(
    package: ModelPackage, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"component 'decoder' of .* has no variant 'fp64'"):
        quantize(package.path, tmp_path / "any.csv", component="decoder", variant="fp64")


def test_profile_measures_the_component_that_is_named(
    package: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["profile", str(package.path), "--component", "decoder", "--runs", "3"]
    assert main([*arguments, "--json", "-q"]) == 0
    first = capsys.readouterr().out
    environment = json.loads(first)["environment"]
    assert environment["variant"] == "decoder/fp32"
    assert set(environment["shapes"]) == {"decoder_ids", "states"}
    assert environment["inputs"] == "reference"
    (tmp_path / "result.json").write_text(first)
    assert main(["profile", "--replay", str(tmp_path / "result.json"), "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["environment"]["variant"] == "decoder/fp32"


def test_a_contender_is_the_same_component_of_another_variant_or_package(
    package: ModelPackage, tmp_path: Path
) -> None:
    add_decoder(package)
    other = write_two_components(tmp_path / "other.ortpackage").path
    subject = open_model(package.path, component="decoder")
    assert subject.name == "two.ortpackage@decoder/int8"
    for text, name in (
        ("@fp32", "two.ortpackage@decoder/fp32"),
        ("@encoder/fp32", "two.ortpackage@encoder/fp32"),
        (str(other), "other.ortpackage@decoder/fp32"),
        (f"{other}@fp32", "other.ortpackage@decoder/fp32"),
        (f"{other}@encoder/fp32", "other.ortpackage@encoder/fp32"),
    ):
        assert parse(text, subject).name == name
    with pytest.raises(InputError, match="encoder/fp32 is not of the component decoder"):
        open_model(package.path, component="decoder", variant="encoder/fp32")


def test_compare_measures_the_component_that_is_named(package: ModelPackage) -> None:
    add_decoder(package)
    report = compare(package.path, ["@fp32"], component="decoder", budget_s=0.1)
    assert report.as_json()["environment"]["variant"] == "decoder/int8"
    assert report.besides[0].name == "two.ortpackage@decoder/fp32"
