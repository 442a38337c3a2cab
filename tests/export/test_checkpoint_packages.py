"""From a checkpoint to a package, and through the commands that take one."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.checkpoints import (
    NER_LABELS,
    bert_checkpoint,
    labeled,
    roberta_checkpoint,
)
from tests.export.test_checkpoint_texts import pipeline
from toolkit import load
from toolkit.cli.main import main
from toolkit.errors import ToolkitWarning
from toolkit.tasks import TaskOptions

pytestmark = [pytest.mark.torch, pytest.mark.slow]

TEXTS = [
    "A gorgeous, witty film.",
    "Anna Schmidt moved from Lisbon to Toronto in 2019.",
    "The plot makes no sense and the acting is wooden.",
    "Dull, dull, dull!",
]


class Commands:
    """Runs commands and reads what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def json(self, *arguments: object) -> Any:
        """The document of a command that succeeds."""
        return json.loads(self.text(*arguments, "--json"))

    def text(self, *arguments: object, code: int = 0) -> str:
        """What a command prints: its result, or its complaint."""
        self._capsys.readouterr()
        assert main(list(map(str, arguments))) == code
        printed = self._capsys.readouterr()
        return printed.err if code else printed.out


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def export(run: Commands, checkpoint: Path, *options: str) -> Path:
    package = checkpoint.with_suffix(".ortpackage")
    told = run.json("export", checkpoint, "-o", package, "--exporter", "torch", *options)
    assert told["parity"]["max_abs_error"] <= 1e-4
    return package


def write_rows(file: Path, rows: list[dict[str, Any]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_pairs_from_a_checkpoint_to_a_quantized_package(run: Commands, tmp_path: Path) -> None:
    path = bert_checkpoint(
        tmp_path / "pairs", num_hidden_layers=1, **labeled(("other", "same", "more"))
    )
    package = export(run, path)
    pairs = [{"text": one, "text_pair": two} for one in TEXTS for two in TEXTS]
    wanted = pipeline("text-classification", path)(pairs)

    asked = tmp_path / "pairs.jsonl"
    listed = [json.dumps([p["text"], p["text_pair"]]) for p in pairs[8:]]
    asked.write_text("\n".join([*map(json.dumps, pairs[:8]), *listed]))
    results = run.json("infer", package, "--jsonl", asked)["results"]
    assert [result["label"] for result in results] == [entry["label"] for entry in wanted]
    assert [result["score"] for result in results] == pytest.approx(
        [entry["score"] for entry in wanted], abs=1e-4
    )

    rows = [
        {"sentence1": p["text"], "sentence2": p["text_pair"], "label": entry["label"]}
        for p, entry in zip(pairs, wanted, strict=True)
    ]
    data = write_rows(tmp_path / "data.csv", rows)
    metrics = run.json("evaluate", package, "--data", data)["metrics"]
    assert metrics["accuracy"]["value"] == 1.0
    rows[0]["label"] = "other"  # data of one label cannot show a drop, and is refused
    data = write_rows(tmp_path / "data.csv", rows)
    promises = ("--max-drop", "1", "--max-batch-flips", "16")
    quantized = run.json("quantize", package, "--data", data, *promises, "--only", "rowwise")
    assert quantized["chosen"] == "int8"
    assert run.json("validate", package, "--data", data)["passed"]


def test_several_labels_are_scored_each(run: Commands, tmp_path: Path) -> None:
    path = bert_checkpoint(
        tmp_path / "several",
        num_hidden_layers=1,
        initializer_range=0.5,
        problem_type="multi_label_classification",
        **labeled(("funny", "sad", "long")),
    )
    package = export(run, path, "--tolerance", "1e-3")
    found = load(package)(TEXTS)
    rows = [
        {"text": text, "label": "|".join(result["labels"])}
        for text, result in zip(TEXTS, found, strict=True)
    ]
    metrics = run.json("evaluate", package, "--data", write_rows(tmp_path / "d.csv", rows))
    assert metrics["metrics"]["micro_f1"]["value"] == 1.0
    assert metrics["metrics"]["exact_match"]["value"] == 1.0
    rows[0]["label"] = "happy"
    message = run.text(
        "evaluate", package, "--data", write_rows(tmp_path / "wrong.csv", rows), code=3
    )
    assert "the label 'happy'" in message
    assert "funny" in run.text("infer", package, TEXTS[0])


def test_entities_through_the_commands(run: Commands, tmp_path: Path) -> None:
    path = roberta_checkpoint(
        tmp_path / "ner",
        "RobertaForTokenClassification",
        num_hidden_layers=1,
        **labeled(NER_LABELS),
    )
    package = export(run, path)
    results = run.json("infer", package, *TEXTS)["results"]
    wanted = pipeline("token-classification", path, aggregation_strategy="simple")(TEXTS)
    assert [[(e["start"], e["end"], e["label"]) for e in r["entities"]] for r in results] == [
        [(e["start"], e["end"], e["entity_group"]) for e in entities] for entities in wanted
    ]
    first = results[1]["entities"][0]
    line = f"{first['label']}  {first['score']:.4f}  {first['start']}-{first['end']}"
    assert line in run.text("infer", package, TEXTS[1])

    # Raw outputs of batches of other lengths stand in one file, padded.
    file = tmp_path / "out.npz"
    run.text("infer", package, *TEXTS, "--batch-size", "1", "-o", file)
    logits = np.load(file)["logits"]
    assert logits.shape[0] == 4
    assert (logits[3, -1] == 0).all()

    data = write_rows(tmp_path / "data.csv", [{"text": text} for text in TEXTS])
    assert "no metric here for the task 'token-classification'" in run.text(
        "evaluate", package, "--data", data, code=3
    )
    quantized = run.json(
        *("quantize", package, "--data", data, "--max-batch-flips", "4", "--only", "rowwise")
    )
    assert quantized["chosen"] == "int8"
    assert 0 <= quantized["candidates"][0]["agreement"] <= 1
    assert quantized["candidates"][0]["metric"] is None
    checks = run.json("validate", package, "--data", data)
    assert checks["passed"]
    assert {"preprocessing", "batch flips"} <= {check["name"] for check in checks["checks"]}


def test_questions_through_the_commands(run: Commands, tmp_path: Path) -> None:
    path = bert_checkpoint(tmp_path / "qa", "BertForQuestionAnswering", num_hidden_layers=1)
    package = export(run, path)
    questions = [
        {"question": "Where does Anna live?", "context": " ".join(TEXTS * 3)},
        {"question": "Where?", "context": TEXTS[1]},
    ]
    asked = tmp_path / "questions.jsonl"
    asked.write_text("\n".join(map(json.dumps, questions)))
    results = run.json("infer", package, "--jsonl", asked)["results"]
    assert results == run.json("infer", package, *map(json.dumps, questions))["results"]
    for question, result in zip(questions, results, strict=True):
        assert question["context"][result["start"] : result["end"]] == result["answer"] != ""
    model = load(package)
    assert model(questions[1]) == model(questions)[1]
    # Windows run in batches like any rows.
    one_by_one = model.batch(questions, batch_size=1)
    assert one_by_one[0]["answer"] == results[0]["answer"]
    assert one_by_one[0]["score"] == pytest.approx(results[0]["score"], abs=1e-5)
    for wrong in ("Where?", '{"question": "Where?"}'):
        message = run.text("infer", package, wrong, code=3)
        assert "question 1 is" in message
        assert '{"question": "...", "context": "..."}' in message
    assert run.json("validate", package, "--data", asked)["passed"]
    assert run.text("infer", package, json.dumps(questions[1])).startswith(results[1]["answer"])


def test_a_text_that_is_too_long_is_an_error_where_asked_for(run: Commands, tmp_path: Path) -> None:
    package = export(run, bert_checkpoint(tmp_path / "long", num_hidden_layers=1))
    long = "film " * 90
    message = run.text("infer", package, "A film.", long, "--no-truncate", code=3)
    assert "text 2 (450 characters) has more than 64 tokens" in message
    assert len(run.json("infer", package, long)["results"]) == 1
    with pytest.warns(ToolkitWarning, match="cut to the first 64 tokens"):
        cut = load(package)(long)
    model = load(package, reading=TaskOptions(truncate=False))
    assert model("A film.")["scores"].keys() == cut["scores"].keys()


def test_masks_and_embeddings_through_the_commands(run: Commands, tmp_path: Path) -> None:
    path = roberta_checkpoint(tmp_path / "mask", "RobertaForMaskedLM", num_hidden_layers=1)
    package = export(run, path)
    result = run.json("infer", package, "A <mask> film.", "--top-k", "3")["results"][0]
    wanted = pipeline("fill-mask", path)("A <mask> film.", top_k=3)
    fills = result["masks"][0]["fills"]
    assert [fill["token"] for fill in fills] == [entry["token"] for entry in wanted]
    assert "has no <mask>" in run.text("infer", package, "A film.", code=3)

    embedder = path.with_name("embed.ortpackage")
    options = ("--task", "feature-extraction", "--exporter", "transformers")
    run.text("export", path, "-o", embedder, *options)
    results = run.json("infer", embedder, *TEXTS)["results"]
    states = pipeline("feature-extraction", path)(TEXTS)
    for result, state in zip(results, states, strict=True):
        assert result["embedding"] == pytest.approx(np.mean(state[0], axis=0).tolist(), abs=1e-4)
    data = write_rows(tmp_path / "data.csv", [{"text": text} for text in TEXTS])
    assert run.json("validate", embedder, "--data", data)["passed"]
