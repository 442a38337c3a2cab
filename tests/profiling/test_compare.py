"""Comparisons of real processes, and what is said when one does not work."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.builders import OPSETS
from tests.profiling.tiny_checkpoint import tiny_checkpoint
from tests.tiny_package import GRAPH, add_preferred_variant, write_tiny_package
from toolkit.cli.main import main
from toolkit.errors import CheckFailedError, InputError, SetupError
from toolkit.profiling.compare import Measured, compare, numbered
from toolkit.profiling.comparison_report import Agreement, agreement, sentence
from toolkit.profiling.processes import Contender, Rounds
from toolkit.profiling.sequential import RatioInterval
from toolkit.runtime.fresh import ChildCrashedError

AGREED = Agreement(agrees=True, difference=0.0)
LENGTH = {"sequence": 2}


def chain(file: Path, layers: int) -> None:
    """Write `layers` products with the unit matrix: one answer, however many."""
    nodes = [
        helper.make_node("MatMul", ["x" if i == 0 else f"y{i - 1}", "w"], [f"y{i}"])
        for i in range(layers)
    ]
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 128])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 128])],
        [numpy_helper.from_array(np.eye(128, dtype=np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)


def contender(function: str, name: str = "", **arguments: object) -> Contender:
    return Contender(
        name=name or function,
        factory=f"tests.profiling.contenders:{function}",
        arguments=arguments,
    )


def rounds(contenders: list[Contender], folder: Path) -> Rounds:
    return Rounds(contenders=contenders, seconds=0.05, seed=0, outputs=folder)


def test_a_graph_of_clearly_more_work_is_slower_and_the_command_exits_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain(tmp_path / "long.onnx", 64)
    chain(tmp_path / "short.onnx", 2)
    arguments = ["profile", str(tmp_path / "long.onnx"), "--shape", "batch=8", "--threads", "1"]
    arguments += ["--compare", str(tmp_path / "short.onnx"), "--budget", "8", "-q"]
    assert main([*arguments, "--fail-if-slower", "1.05"]) == 5
    printed = capsys.readouterr()
    assert "long.onnx is slower than short.onnx" in printed.out
    assert "different answers" not in printed.out
    assert "1.05 times" in printed.err


def test_json_is_one_document_with_what_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["profile", str(GRAPH), "--shape", "sequence=2", "--compare", "peer:onnxruntime"]
    assert main([*arguments, "--budget", "0.5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["scenario"] == "comparison"
    (beside,) = document["comparisons"]
    assert beside["beside"] == "peer:onnxruntime"
    low, high = beside["interval_95"]
    word = "faster" if high < 1 else "slower" if low > 1 else "cannot tell"
    assert beside["verdict"] == word
    assert word in beside["sentence"]
    assert beside["outputs"]["agree"]
    assert beside["interval_95"][0] <= beside["ratio"] <= beside["interval_95"][1]
    assert document["rounds"] >= 3
    assert document["settings"]["sizes"] == {"sequence": 2}
    assert str(GRAPH.parent) not in json.dumps(document)


@pytest.mark.slow
def test_a_comparison_is_replayed_with_its_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    arguments = ["profile", str(package.path), "--shape", "sequence=7", "--seed", "5"]
    arguments += ["--compare", "threads=1", "--compare", "peer:onnxruntime,threads=1"]
    assert main([*arguments, "--budget", "0.5", "--json", "-q"]) == 0
    first = capsys.readouterr().out
    (tmp_path / "result.json").write_text(first)
    assert main(["profile", "--replay", str(tmp_path / "result.json"), "--json", "-q"]) == 0
    before, after = json.loads(first), json.loads(capsys.readouterr().out)
    assert after["settings"] == before["settings"]
    names = [[b["beside"] for b in document["comparisons"]] for document in (before, after)]
    assert names[0] == names[1]
    assert after["environment"]["shapes"] == {"input_ids": [1, 7]}


@pytest.mark.slow
@pytest.mark.torch
def test_a_replay_finds_the_source_of_a_peer_or_says_that_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    checkpoint = tiny_checkpoint(tmp_path / "elsewhere" / "tiny")
    peer = f"peer:torch,source={checkpoint},threads=1"
    arguments = ["profile", str(GRAPH), "--shape", "sequence=2", "--compare", peer]
    assert main([*arguments, "--budget", "0.1", "--json", "-q"]) == 0
    first = capsys.readouterr().out
    assert json.loads(first)["settings"]["against"] == ["peer:torch,source=tiny,threads=1"]
    assert str(tmp_path) not in first
    result = tmp_path / "result.json"
    result.write_text(first)
    replay = ["profile", str(GRAPH), "--replay", str(result), "--json", "-q"]
    assert main(replay) == 3
    assert "tiny is neither beside" in capsys.readouterr().err
    checkpoint.rename(tmp_path / "tiny")
    assert main(replay) == 0
    assert json.loads(capsys.readouterr().out)["comparisons"][0]["beside"] == "peer:torch,threads=1"


def test_variants_with_different_answers_are_said_to_be_so(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    add_preferred_variant(package, name="int8", threshold=3, limit=9)
    report = compare(package.path, ["@fp32"], variant="int8", budget_s=0.1)
    (beside,) = report.besides
    assert (report.subject, beside.name) == ("tiny.ortpackage@int8", "tiny.ortpackage@fp32")
    assert not beside.agreement.agrees
    assert "compares different answers" in beside.sentence
    assert report.inputs == "reference"


def test_every_round_has_new_processes_and_every_turn_all_contenders(tmp_path: Path) -> None:
    measure = rounds([contender("counting", to=1000), contender("noisy")], tmp_path)
    first, pids = measure(), {facts["pid"] for facts in measure.facts}
    second = measure()
    assert len(pids | {facts["pid"] for facts in measure.facts}) == 4
    assert first.shape[1] == second.shape[1] == 2
    assert (first > 0).all()
    assert len(measure.latencies_ns[0]) == len(first) + len(second)
    assert [facts.get("to") for facts in measure.facts] == [1000, None]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0.npz", "1.npz"]


def test_a_contender_that_fails_is_named(tmp_path: Path) -> None:
    measure = rounds([contender("counting", to=9), contender("failing", "B", on=3)], tmp_path)
    with pytest.raises(InputError, match="B: it broke") as caught:
        measure()
    assert (caught.value.expected, caught.value.fix) == ("luck", "try again")


def test_a_contender_that_crashes_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChildCrashedError, match="crashing"):
        rounds([contender("counting", to=9), contender("crashing")], tmp_path)()


def test_a_peer_that_is_not_installed_names_its_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SetupError, match="optimum") as caught:
        compare(GRAPH, [f"peer:optimum,source={tmp_path}"], sizes=LENGTH, budget_s=0.1)
    assert "onnx-edge-toolkit[optimum]" in caught.value.expected
    assert ".venv-optimum" in caught.value.fix
    command = [
        "profile",
        str(GRAPH),
        "--shape",
        "sequence=2",
        "--compare",
        "threads=1,provider=nnapi",
    ]
    assert main(command) == 4
    assert "NnapiExecutionProvider" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.torch
def test_a_peer_in_torch_answers_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net_for_compare.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, input_ids):\n"
        "        return input_ids.max(1, keepdim=True).values.float() - 5\n"
        "def make():\n"
        "    return Net(), {'input_ids': torch.zeros(2, 3, dtype=torch.int64)}\n"
    )
    monkeypatch.chdir(tmp_path)
    report = compare(
        GRAPH, ["peer:torch,source=net_for_compare:make,threads=1"], sizes=LENGTH, budget_s=0.1
    )
    (beside,) = report.besides
    assert beside.agreement.agrees
    assert report.facts["peer:torch,threads=1"]["threads"] == 1


def test_names_that_are_equal_are_numbered() -> None:
    names = [c.name for c in numbered([contender("a"), contender("a"), contender("b")])]
    assert names == ["a", "a (2)", "b"]


@pytest.mark.parametrize(
    "interval, begins",
    [
        (RatioInterval(ratio=0.5, low=0.4, high=0.6), "A is faster than B: 0.500 times"),
        (RatioInterval(ratio=1.2, low=1.1, high=1.3), "A is slower than B: 1.200 times"),
        (RatioInterval(ratio=1.0, low=0.9, high=1.1), "cannot tell A from B: 1.000 times"),
    ],
)
def test_the_sentence_follows_the_interval(interval: RatioInterval, begins: str) -> None:
    assert sentence("A", "B", interval, AGREED).startswith(begins)


@pytest.mark.parametrize(
    "subject, other, agrees",
    [
        ({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 2.001])}, True),
        ({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 2.1])}, False),
        ({"y": np.array([1.0])}, {"logits": np.array([1.0])}, True),
        ({"y": np.array([1.0])}, {"y": np.array([[1.0]])}, False),
        ({"y": np.array([0.0])}, {"y": np.array([1.0])}, False),
        ({"y": np.array([np.nan])}, {"y": np.array([1.0])}, False),
    ],
)
def test_answers_agree_within_a_share_of_the_largest(
    subject: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], agrees: bool
) -> None:
    found = agreement(subject, other, tolerance=1e-3)
    assert found.agrees is agrees
    assert found.agrees == (found.difference <= 1e-3)


def test_only_an_interval_above_the_factor_fails(tmp_path: Path) -> None:
    measured = compare(GRAPH, ["peer:onnxruntime"], sizes=LENGTH, budget_s=0.1)
    measured.check(1000.0)
    with pytest.raises(CheckFailedError):
        measured.check(1e-9)


@pytest.mark.parametrize(
    "arguments, code, told",
    [
        (["--compare", "nothing.onnx"], 3, "nothing.onnx"),
        (["--compare", "peer:tvm"], 2, "onnxruntime, torch, optimum"),
        (["--compare", "peer:torch"], 2, "source=FOLDER"),
        (["--compare", "peer:onnxruntime,color=red"], 2, "color"),
        (["--compare", "speed=9"], 2, "speed"),
        (["--compare", "threads=many"], 2, "threads=many"),
        (["--compare", "graph=best"], 2, "none, basic, extended, all"),
        (["--compare", "@int8"], 3, "int8"),
        (["--compare", "threads=1", "--budget", "0"], 2, "0 s"),
        (["--compare", "threads=1", "--fail-if-slower", "-1"], 2, "-1"),
        (["--compare", "threads=1", "--tune"], 2, "--tune"),
        (["--fail-if-slower", "1.1"], 2, "--fail-if-slower"),
    ],
)
def test_what_cannot_be_compared_is_said(
    arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", str(GRAPH), "--shape", "sequence=2", *arguments]) == code
    assert told in capsys.readouterr().err


def test_contenders_that_measure_need_no_model(tmp_path: Path) -> None:
    found = Measured.of(
        [contender("counting", "less", to=200), contender("counting", "more", to=20_000)],
        budget_s=3.0,
        folder=tmp_path,
    )
    assert found.intervals[0].word == "faster"
