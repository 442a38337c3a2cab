"""`toolkit infer`: what it reads, where it writes, and how bad input ends."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.tiny_package import GRAPH, write_tiny_package
from toolkit.answering import InferReport
from toolkit.cli.main import main


@pytest.fixture
def package(tmp_path: Path) -> str:
    return str(write_tiny_package(tmp_path / "tiny.ortpackage").path)


def labels(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [result["label"] for result in json.loads(capsys.readouterr().out)["results"]]


def test_one_text_prints_label_and_probability(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", package, "a good film"]) == 0
    assert capsys.readouterr().out == "positive  0.9820\n"


def test_texts_come_from_lines_jsonl_csv_and_stdin(
    package: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "a.txt").write_text("good\nbad\n")
    (tmp_path / "a.jsonl").write_text('"good"\n{"text": "bad", "label": "x"}\n')
    (tmp_path / "a.csv").write_text('id,text\n1,good\n2,"bad,\nfilm"\n')
    for option, name in (("--lines", "a.txt"), ("--jsonl", "a.jsonl"), ("--csv", "a.csv")):
        assert main(["infer", package, option, str(tmp_path / name), "--json"]) == 0
        assert labels(capsys) == ["positive", "negative"]
    for arguments in (["-"], ["--lines", "-"]):
        stdin = SimpleNamespace(buffer=io.BytesIO(b"good\nbad\n"))
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["infer", package, *arguments, "--json"]) == 0
        assert labels(capsys) == ["positive", "negative"]


def test_results_and_raw_outputs_are_written(package: str, tmp_path: Path) -> None:
    texts = ["bad film film", "good", "bad"]
    assert main(["infer", package, *texts, "-o", str(tmp_path / "out.jsonl")]) == 0
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["negative", "positive", "negative"]
    arguments = ["infer", package, *texts, "--batch-size", "2", "-o", str(tmp_path / "out.npz")]
    assert main(arguments) == 0
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["logits"].tolist() == [[-2.0], [4.0], [-3.0]]


def test_an_output_that_exists_needs_force(package: str, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("mine")
    assert main(["infer", package, "good", "-o", str(file)]) == 3
    assert file.read_text() == "mine"
    assert main(["infer", package, "good", "-o", str(file), "--force"]) == 0
    assert json.loads(file.read_text())["label"] == "positive"


@pytest.mark.parametrize("kind", ["npy", "npz", "json"])
def test_a_bare_graph_takes_tensors_from_files(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = np.array([[1, 9], [2, 3]])
    file = tmp_path / f"ids.{kind}"
    if kind == "npy":
        np.save(file, ids)
    elif kind == "npz":
        np.savez(file, input_ids=ids, other=ids)
    else:
        file.write_text(json.dumps(ids.tolist()))
    assert main(["infer", str(GRAPH), "--input", f"input_ids={file}", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["outputs"]["logits"]["data"] == [[4.0], [-2.0]]


def test_a_package_answers_tensors_of_several_rows(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "ids.npy", np.array([[9, 1], [2, 3]]))
    assert main(["infer", package, "--input", f"input_ids={tmp_path / 'ids.npy'}"]) == 0
    assert capsys.readouterr().out == "positive  0.9820\nnegative  0.8808\n"


@pytest.mark.parametrize(
    "array, facts",
    [
        (np.zeros((1, 2), np.float32), ["float32[1, 2]", "int64[batch, sequence]"]),
        (np.zeros((2,), np.int64), ["int64[2]", "int64[batch, sequence]"]),
    ],
)
def test_a_tensor_that_does_not_fit_is_described(
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
    facts: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "x.npy", array)
    assert main(["infer", str(GRAPH), "--input", f"input_ids={tmp_path / 'x.npy'}"]) == 3
    error = capsys.readouterr().err
    assert all(fact in error for fact in ["'input_ids'", *facts])


def test_an_unknown_input_name_lists_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 2), np.int64))
    assert main(["infer", str(GRAPH), "--input", f"ids={tmp_path / 'x.npy'}"]) == 3
    error = capsys.readouterr().err
    assert "'ids'" in error
    assert "input_ids: int64[batch, sequence]" in error


def test_a_broken_or_missing_tensor_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    for name in ("bad.npy", "missing.npy", "strange.xyz"):
        assert main(["infer", str(GRAPH), "--input", f"input_ids={tmp_path / name}"]) == 3
        assert name in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, fact",
    [
        ([], "nothing to run"),
        (["good", "--lines", "x.txt"], "texts and --lines"),
        (["--lines", "x.txt"], "x.txt"),
        (["good", "--variant", "int9"], "int9"),
        ([""], "empty"),
    ],
)
def test_what_cannot_be_run_exits_3_with_the_fact(
    package: str, arguments: list[str], fact: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", package, *arguments]) == 3
    captured = capsys.readouterr()
    assert fact in captured.err
    assert captured.out == ""


def test_a_provider_that_is_not_built_in_is_an_error_unless_fallback_is_asked_for(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", package, "good", "--provider", "coreml"]) == 4
    error = capsys.readouterr().err
    assert "CoreMLExecutionProvider" in error
    assert "one of cpu" in error
    arguments = ["infer", package, "good", "--provider", "coreml", "--allow-fallback", "--json"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["provider"] == "cpu"
    assert "running on the CPU" in captured.err


def test_an_option_that_the_cpu_does_not_have_is_refused(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", package, "good", "--provider-option", "device_id=0"]) == 3
    assert "'device_id'" in capsys.readouterr().err


def test_an_invented_provider_is_a_usage_error(package: str) -> None:
    assert main(["infer", package, "good", "--provider", "abacus"]) == 2


@pytest.mark.parametrize("content", [b"", b"\x08\x0a", b"not a model at all"])
def test_an_onnx_file_that_is_none_exits_3(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken.onnx"
    file.write_bytes(content)
    np.save(tmp_path / "x.npy", np.zeros((1, 2), np.int64))
    assert main(["infer", str(file), "--input", f"x={tmp_path / 'x.npy'}"]) == 3
    assert "broken.onnx" in capsys.readouterr().err


def test_non_finite_numbers_are_refused_unless_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.builders import relu

    relu(tmp_path / "relu.onnx")
    np.save(tmp_path / "x.npy", np.array([[1.0, np.nan, -np.inf]], np.float32))
    arguments = ["infer", str(tmp_path / "relu.onnx"), "--input", f"x={tmp_path / 'x.npy'}"]
    assert main(arguments) == 3
    assert "2 of 3 elements" in capsys.readouterr().err
    assert main([*arguments, "--allow-non-finite"]) == 0


def test_external_data_outside_the_models_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    from tests.builders import matmul

    folder = tmp_path / "models"
    folder.mkdir()
    matmul(folder / "m.onnx", external="weights.bin")
    model = onnx.load(folder / "m.onnx", load_external_data=False)
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../weights.bin"
    onnx.save(model, folder / "m.onnx")
    np.save(tmp_path / "x.npy", np.ones((1, 3), np.float32))
    assert main(["infer", str(folder / "m.onnx"), "--input", f"x={tmp_path / 'x.npy'}"]) == 3
    assert "weights.bin" in capsys.readouterr().err


def test_a_session_answers_from_several_threads(package: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from toolkit import load

    model = load(package)
    texts = ["good", "bad", "bad film film", "good film"] * 50

    def answer(text: str) -> dict[str, object]:
        return model(text)

    with ThreadPoolExecutor(4) as pool:
        found = [result["label"] for result in pool.map(answer, texts)]
    assert found == ["positive", "negative", "negative", "positive"] * 50


def test_a_truncated_npz_a_deep_json_and_a_type_that_numpy_lacks_exit_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.builders import identity

    identity(tmp_path / "brain.onnx", element=16)  # TensorProto.BFLOAT16
    identity(tmp_path / "float.onnx", element=1)
    np.savez(tmp_path / "x.npz", x=np.ones(3, np.float32))
    content = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "x.json").write_text("[1, 2]")
    for model, name, fact in (
        ("float.onnx", "x.npz", "x.npz is damaged"),
        ("float.onnx", "deep.json", "deep.json is damaged"),
        ("brain.onnx", "x.json", "bfloat16[batch]"),
    ):
        command = ["infer", str(tmp_path / model), "--input", f"x={tmp_path / name}"]
        assert main(command) == 3
        assert fact in capsys.readouterr().err


@pytest.mark.parametrize("element, output", [(8, "y"), (1, "file"), (1, "allow_pickle")])
def test_strings_and_any_output_name_are_written_as_npz(
    tmp_path: Path, element: int, output: str
) -> None:
    from tests.builders import identity

    identity(tmp_path / "m.onnx", element=element, output=output)
    array = np.array(["a", "bc"]) if element == 8 else np.array([1, 2], np.float32)
    np.save(tmp_path / "x.npy", array)
    command = ["infer", str(tmp_path / "m.onnx"), "--input", f"x={tmp_path / 'x.npy'}"]
    assert main([*command, "-o", str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
        assert arrays[output].tolist() == array.tolist()


def test_the_maps_of_a_converted_classifier_are_printed_and_refused_where_tensors_are_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.builders import zip_map

    model = str(tmp_path / "zip_map.onnx")
    zip_map(Path(model))
    np.save(tmp_path / "x.npy", np.array([[0.25, 0.75]], np.float32))
    command = ["infer", model, "--input", f"x={tmp_path / 'x.npy'}"]
    assert main([*command, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["outputs"]["y"]["data"] == [{"0": 0.25, "1": 0.75}]
    assert main(command) == 0
    for refused in (
        [*command, "-o", str(tmp_path / "out.npz")],
        ["export", model, "-o", str(tmp_path / "z.ortpackage"), "-q"],
        ["validate", model, "-q"],
    ):
        assert main(refused) == 3
        assert "'y' is a list" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "zip_map.onnx"]


def test_a_line_ends_with_a_line_feed_and_nothing_else(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_bytes("good\u2028film\r\nbad\x0cfilm\x00\n".encode())
    (tmp_path / "a.jsonl").write_text('"good\u2028film"\n"bad"\n', encoding="utf-8")
    for option, name in (("--lines", "a.txt"), ("--jsonl", "a.jsonl")):
        assert main(["infer", package, option, str(tmp_path / name), "--json"]) == 0
        assert labels(capsys) == ["positive", "negative"]


def test_an_item_is_named_by_its_place_in_the_file_not_in_its_batch(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["good"] * 40
    texts[36] = "film " * 40
    texts[38] = ""
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(text) + "\n" for text in texts))
    assert main(["infer", package, "--jsonl", str(file)]) == 3
    assert "text 39 is empty" in capsys.readouterr().err
    texts[38] = "good film"
    file.write_text("".join(json.dumps(text) + "\n" for text in texts))
    assert main(["infer", package, "--jsonl", str(file)]) == 0
    assert "text 37 (200 characters) was cut" in capsys.readouterr().err


def test_force_says_what_it_replaced(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["infer", package, "good", "-o", str(tmp_path / "out.jsonl"), "--force"]
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    assert main(command) == 0
    assert capsys.readouterr().err == f"replaced {tmp_path / 'out.jsonl'}\n"


def test_a_long_label_is_shortened_for_people_alone() -> None:
    label = "a dog " * 1000
    scores = {label: 0.5, "a cat": 0.3, "a " * 80: 0.2}
    report = InferReport(
        variant="fp32",
        provider="cpu",
        placement={},
        elsewhere={},
        results=({"label": label, "score": 0.5, "scores": scores},),
        items=(),
    )
    assert len(report.as_text()) < 250
    assert report.as_text().startswith("a dog a dog")
    assert report.as_json()["results"][0]["label"] == label
