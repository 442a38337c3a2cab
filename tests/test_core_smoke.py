"""What a device needs: the core and onnxruntime, on every Python that the project names.

`.ci/run` runs this file where nothing but `.[cpu]` and pytest is installed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import toolkit
from tests.tiny_package import (
    GRAPH,
    THRESHOLD,
    add_preferred_variant,
    write_tiny_package,
)
from toolkit.package import ModelPackage

HEAVY = ("matplotlib", "onnx", "pandas", "scipy", "sklearn", "torch", "transformers")
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_tiny_package(tmp_path / "tiny.ortpackage").path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter, so that what this one has imported does not matter."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


def loaded_by(program: str) -> set[str]:
    """Names of modules that a program loaded by its end."""
    report = "\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    completed = run("-c", program + report)
    assert completed.returncode == 0, completed.stderr
    return set(json.loads(completed.stdout.splitlines()[-1]))


def test_a_text_is_answered_without_anything_that_only_training_needs(package: Path) -> None:
    modules = loaded_by(
        f"import toolkit; print(toolkit.load({str(package)!r})('a good film')['label'])"
    )
    assert modules.isdisjoint(HEAVY)
    assert "onnxruntime" in modules


def test_importing_the_toolkit_loads_no_runtime() -> None:
    assert loaded_by("import toolkit").isdisjoint((*HEAVY, "onnxruntime", "tokenizers", "numpy"))


def test_scores_are_those_of_the_graph(package: Path) -> None:
    results = toolkit.load(package).batch(["a good film", "bad"])
    assert [result["label"] for result in results] == ["positive", "negative"]
    positive = 1 / (1 + np.exp(-(np.array([9.0, 2.0]) - THRESHOLD)))
    assert [r["scores"]["positive"] for r in results] == pytest.approx(positive, abs=1e-6)


def test_infer_prints_one_json_document(package: Path) -> None:
    completed = run("-m", "toolkit", "infer", str(package), "a good film", "bad", "--json")
    assert completed.returncode == 0, completed.stderr
    answer = json.loads(completed.stdout)
    assert next(iter(answer)) == "schema_version"
    assert (answer["variant"], answer["provider"]) == ("fp32", "cpu")
    assert [result["label"] for result in answer["results"]] == ["positive", "negative"]


def test_a_package_that_answers_otherwise_than_its_reference_fails_validation(
    package: Path,
) -> None:
    opened = ModelPackage.open(package)
    assert toolkit.validate(package).passed
    add_preferred_variant(opened, name="other", threshold=THRESHOLD + 1, limit=0.5)
    checks = toolkit.validate(package).checks
    failed = [(check.name, check.variant, check.value) for check in checks if not check.passed]
    assert failed == [("reference outputs", "other", 1.0)]


def test_validate_passes_without_torch(package: Path) -> None:
    completed = run("-m", "toolkit", "validate", str(package), "--json")
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)["passed"] is True


def test_a_flipped_bit_in_the_model_exits_3(package: Path) -> None:
    model = package / "model" / "fp32" / "model.onnx"
    damaged = bytearray(model.read_bytes())
    damaged[-1] ^= 1
    model.write_bytes(damaged)
    completed = run("-m", "toolkit", "infer", str(package), "a good film")
    assert completed.returncode == 3
    assert "model.onnx" in completed.stderr


def test_a_bare_graph_answers_tensors(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([[1, 9, 3]]))
    completed = run(
        "-m",
        "toolkit",
        "infer",
        str(GRAPH),
        "--input",
        f"input_ids={tmp_path / 'ids.npy'}",
        "--json",
    )
    assert completed.returncode == 0, completed.stderr
    outputs = json.loads(completed.stdout)["results"][0]["outputs"]
    assert outputs == {"logits": {"dtype": "float32", "shape": [1, 1], "data": [[4.0]]}}


def test_the_command_tells_the_version() -> None:
    completed = run("-m", "toolkit", "--version")
    assert completed.returncode == 0, completed.stderr
    assert toolkit.__version__ in completed.stdout


def test_the_shipped_graph_is_what_its_command_writes(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx (extra export) writes the graph")
    completed = run("-m", "tests.tiny_package", str(tmp_path / "again.onnx"))
    assert completed.returncode == 0, completed.stderr
    assert (tmp_path / "again.onnx").read_bytes() == GRAPH.read_bytes()


def test_any_script_is_printed_whatever_the_systems_encoding(package: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "toolkit", "infer", str(package), "good \u597d", "bad \U0001f44d"],
        capture_output=True,
        check=False,
        timeout=120,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert completed.returncode == 0, completed.stderr
    lines = completed.stdout.decode("utf-8").splitlines()
    assert [line.split()[-1] for line in lines] == ["\u597d", "\U0001f44d"]


def test_a_tokenizer_that_splits_otherwise_here_fails_validation(tmp_path: Path) -> None:
    path = write_tiny_package(tmp_path / "t.ortpackage", items=("good funny film", "bad")).path
    failed = [check for check in toolkit.validate(path).checks if not check.passed]
    assert [(check.name, check.value) for check in failed] == [("preprocessing", 8.0)]
