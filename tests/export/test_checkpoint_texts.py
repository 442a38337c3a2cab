"""Tasks of text encoders against the pipelines of transformers, which need torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.export.checkpoints import (
    NER_LABELS,
    bert_checkpoint,
    deberta_checkpoint,
    gpt2_checkpoint,
    labeled,
    roberta_checkpoint,
)
from toolkit.errors import InputError, ToolkitWarning
from toolkit.export.checkpoint import CheckpointOptions, open_checkpoint
from toolkit.export.torch_graph import run_module
from toolkit.tasks import Item, Result, Task, TaskOptions, open_task
from toolkit.tensors import TensorSpec

pytestmark = pytest.mark.torch

Make = Callable[..., Path]
FAMILIES = [
    pytest.param(bert_checkpoint, "Bert", id="bert"),
    pytest.param(roberta_checkpoint, "Roberta", id="roberta"),
    pytest.param(deberta_checkpoint, "DebertaV2", id="deberta"),
]
TEXTS = [
    "A gorgeous, witty film.",
    "Anna Schmidt moved from Lisbon to Toronto in 2019.",
    "  Café - it's fine;  6/10!! 世界 x",
]
CONTEXT = (
    "Anna Schmidt moved from Lisbon to Toronto in 2019 to work for the Red Cross. The plot makes "
    "no sense and the acting is wooden, yet one forgives it: what an ending! I left the cinema."
)


class Answering:
    """What infer does, with the module in place of its graph: exporting takes seconds."""

    def __init__(self, path: Path, work: Path, **options: Any) -> None:
        work.mkdir()
        source = open_checkpoint(path, work=work, options=CheckpointOptions(**options))
        self.module: Any = source.parts[0].module
        self.feeds = source.parts[0].feeds
        self.items = source.items
        self.specification = source.task
        self._preprocessing = source.preprocessing

    def task(self, reading: TaskOptions | None = None) -> Task:
        specs = [TensorSpec(name=n, dtype="int64", shape=("batch", "length")) for n in self.feeds]
        return open_task(self.specification, self._preprocessing, specs, reading)

    def __call__(self, items: Sequence[Item], reading: TaskOptions | None = None) -> list[Result]:
        task = self.task(reading)
        batch = task.prepare(items)
        return task.decode(run_module(self.module, batch.feeds, output_names=()), batch)


def pipeline(task: str, path: Path, **options: Any) -> Any:
    make: Any = transformers.pipeline
    return make(task, model=str(path), device="cpu", **options)


@pytest.mark.parametrize("make, prefix", FAMILIES)
def test_labels_and_scores_are_those_of_the_pipeline(
    make: Make, prefix: str, tmp_path: Path
) -> None:
    names = labeled(("bad", "so so", "good"))
    path = make(tmp_path / "model", f"{prefix}ForSequenceClassification", **names)
    pairs = [("A gorgeous film.", "It is dull."), ("Anna left.", "Where does Anna work, then?")]
    found = Answering(path, tmp_path / "work")([*TEXTS, *pairs])
    asked = [*TEXTS, *({"text": one, "text_pair": two} for one, two in pairs)]
    told = pipeline("text-classification", path, top_k=None)(asked)
    for result, wanted in zip(found, told, strict=True):
        scores = {entry["label"]: entry["score"] for entry in wanted}
        assert result["label"] == wanted[0]["label"]
        assert result["score"] == max(result["scores"].values())
        assert result["scores"] == pytest.approx(scores, abs=1e-4)
        assert [*result["scores"]] == ["bad", "so so", "good"]


def test_a_pair_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    answer = Answering(bert_checkpoint(tmp_path / "model"), tmp_path / "work")
    one, two = "A gorgeous film.", "It is dull."
    first, second, third = answer([(one, two), [one, two], {"text": one, "text_pair": two}])
    assert first == second == third
    assert first != answer([f"{one} {two}"])[0]
    for wrong in ((one,), (one, 3), {"text": one}, {"text": one, "text_pair": two, "more": 1}, 5):
        with pytest.raises(InputError, match="text 1"):
            answer([wrong])


def test_each_of_several_labels_has_a_probability_of_its_own(tmp_path: Path) -> None:
    path = bert_checkpoint(
        tmp_path / "model",
        problem_type="multi_label_classification",
        initializer_range=0.5,
        **labeled(("funny", "sad", "long")),
    )
    found = Answering(path, tmp_path / "work")(TEXTS)
    for result, wanted in zip(
        found, pipeline("text-classification", path, top_k=None)(TEXTS), strict=True
    ):
        scores = {entry["label"]: entry["score"] for entry in wanted}
        assert result["scores"] == pytest.approx(scores, abs=1e-4)
        assert result["labels"] == [name for name in ("funny", "sad", "long") if scores[name] > 0.5]
    assert len({tuple(result["labels"]) for result in found}) > 1


@pytest.mark.parametrize("problem", [None, "regression"])
def test_one_logit_is_a_probability_or_a_value(problem: str | None, tmp_path: Path) -> None:
    path = bert_checkpoint(tmp_path / "model", problem_type=problem, **labeled(("relevant",)))
    found = Answering(path, tmp_path / "work")(TEXTS)
    told = pipeline("text-classification", path)(TEXTS)
    key = "value" if problem == "regression" else "score"
    assert [result[key] for result in found] == pytest.approx(
        [entry["score"] for entry in told], abs=1e-4
    )
    if problem is None:
        assert {result["label"] for result in found} == {"relevant"}


@pytest.mark.parametrize("make, prefix", FAMILIES)
def test_entities_are_those_of_the_pipeline(make: Make, prefix: str, tmp_path: Path) -> None:
    path = make(tmp_path / "model", f"{prefix}ForTokenClassification", **labeled(NER_LABELS))
    found = Answering(path, tmp_path / "work")(TEXTS)
    told = pipeline("token-classification", path, aggregation_strategy="simple")(TEXTS)
    assert sum(map(len, told)) > 5
    for text, result, wanted in zip(TEXTS, found, told, strict=True):
        places = [(e["label"], e["start"], e["end"]) for e in result["entities"]]
        assert places == [(e["entity_group"], e["start"], e["end"]) for e in wanted]
        scores = [e["score"] for e in result["entities"]]
        assert scores == pytest.approx([e["score"] for e in wanted], abs=1e-4)
        assert all(e["text"] == text[e["start"] : e["end"]] for e in result["entities"])
    with pytest.raises(InputError, match="text 2"):
        Answering(path, tmp_path / "again")([TEXTS[0], (TEXTS[0], TEXTS[1])])


@pytest.mark.parametrize("make, prefix", FAMILIES)
def test_fills_are_those_of_the_pipeline(make: Make, prefix: str, tmp_path: Path) -> None:
    path = make(tmp_path / "model", f"{prefix}ForMaskedLM")
    answer = Answering(path, tmp_path / "work")
    fill = pipeline("fill-mask", path)
    mask = fill.tokenizer.mask_token
    texts = [f"A {mask} film.", f"The {mask} makes no sense, and {mask} forgives it."]
    told = [[fill(texts[0])], fill(texts[1])]
    for text, result, wanted in zip(texts, answer(texts), told, strict=True):
        assert [text[m["start"] : m["end"]].strip() for m in result["masks"]] == [mask] * len(
            wanted
        )
        for place, rows in zip(result["masks"], wanted, strict=True):
            fills = [(row["text"], row["token"]) for row in place["fills"]]
            assert fills == [(row["token_str"], row["token"]) for row in rows]
            scores = [row["score"] for row in place["fills"]]
            assert scores == pytest.approx([row["score"] for row in rows], abs=1e-4)
    assert len(answer(texts[:1], TaskOptions(top_k=2))[0]["masks"][0]["fills"]) == 2
    with pytest.raises(InputError, match="text 2 has no"):
        answer([texts[0], "A film."])


@pytest.mark.parametrize("make, prefix", FAMILIES)
@pytest.mark.parametrize("pooling", ["mean", "cls", "none"])
def test_embeddings_are_the_pipelines_states_pooled(
    make: Make, prefix: str, pooling: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "model", f"{prefix}Model")
    found = Answering(path, tmp_path / "work", pooling=pooling)(TEXTS)
    told = [np.array(states)[0] for states in pipeline("feature-extraction", path)(TEXTS)]
    pooled = {"mean": lambda s: s.mean(axis=0), "cls": lambda s: s[0], "none": lambda s: s}
    for result, states in zip(found, told, strict=True):
        embedding, wanted = np.array(result["embedding"]), pooled[pooling](states)
        assert embedding.shape == wanted.shape
        assert embedding == pytest.approx(wanted, abs=1e-4)


def test_the_pooler_and_the_files_of_sentence_transformers(tmp_path: Path) -> None:
    path = bert_checkpoint(tmp_path / "model", "BertModel")
    found = Answering(path, tmp_path / "work", pooling="pooler")(TEXTS)
    model: Any = transformers.BertModel.from_pretrained(path)
    tokens = transformers.AutoTokenizer.from_pretrained(path)(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        wanted = model.eval()(**tokens).pooler_output[0].numpy()
    assert np.array(found[0]["embedding"]) == pytest.approx(wanted, abs=1e-4)

    (path / "modules.json").write_text('[{"type": "a.Transformer"}, {"type": "b.Normalize"}]')
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (path / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    answer = Answering(path, tmp_path / "said")
    with pytest.warns(ToolkitWarning, match=r"text 2 .* was cut to the first 12 tokens"):
        embedding = np.array(answer(["A film!", TEXTS[1]])[0]["embedding"])
    state = np.array(pipeline("feature-extraction", path)("A film!")[0][0])
    assert embedding == pytest.approx(state / np.linalg.norm(state), abs=1e-4)

    (path / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]')
    with pytest.raises(InputError, match=r"modules\.json puts Dense behind"):
        Answering(path, tmp_path / "dense")


def test_a_decoder_classifies_texts(tmp_path: Path) -> None:
    path = gpt2_checkpoint(tmp_path / "model", "GPT2ForSequenceClassification")
    found = Answering(path, tmp_path / "work")(TEXTS)  # in one batch, padded
    wanted = [pipeline("text-classification", path)(text)[0] for text in TEXTS]
    assert [result["label"] for result in found] == [entry["label"] for entry in wanted]
    scores = [result["score"] for result in found]
    assert scores == pytest.approx([entry["score"] for entry in wanted], abs=1e-4)


def test_a_model_without_a_pooler_says_so(tmp_path: Path) -> None:
    path = deberta_checkpoint(tmp_path / "model", "DebertaV2Model")
    with pytest.raises(InputError, match="has no pooler"):
        Answering(path, tmp_path / "work", pooling="pooler")


def test_embeddings_need_no_weights_of_a_pooler(tmp_path: Path) -> None:
    path = bert_checkpoint(tmp_path / "model", "BertForMaskedLM")
    answer = Answering(path, tmp_path / "work", task="feature-extraction")
    assert len(answer(TEXTS[:1])[0]["embedding"]) == 32
    with pytest.raises(InputError, match=r"no weights for 2 parts.*pooler"):
        Answering(path, tmp_path / "pooled", task="feature-extraction", pooling="pooler")


@pytest.mark.parametrize("make, prefix", FAMILIES)
def test_reference_rows_are_what_infer_makes_of_the_items(
    make: Make, prefix: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "model", f"{prefix}ForQuestionAnswering")
    answer = Answering(path, tmp_path / "work")
    again = answer.task().encode(answer.items)
    assert {name: array.tolist() for name, array in again.items()} == {
        name: array.tolist() for name, array in answer.feeds.items()
    }
    assert len(answer.feeds["input_ids"]) > len(answer.items)  # the last context has two windows


@pytest.mark.parametrize("make, prefix", FAMILIES)
def test_a_long_text_is_cut_or_refused(make: Make, prefix: str, tmp_path: Path) -> None:
    answer = Answering(make(tmp_path / "model"), tmp_path / "work")
    assert answer.specification.text is not None
    assert answer.specification.text.max_length == 64
    with pytest.warns(ToolkitWarning, match=r"text 2 .* was cut to the first 64 tokens"):
        answer(["short", "long " * 80])
    with pytest.raises(InputError, match=r"text 2 .* has more than 64 tokens"):
        answer(["short", "long " * 80], TaskOptions(truncate=False))
