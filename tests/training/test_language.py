import numpy as np
import pytest
import torch
from torch.nn import functional

from toolkit.evaluate.metrics import main_metric, measure
from toolkit.evaluate.tokens import IGNORED, TOKEN, measure_tokens, perplexity, token_answers
from toolkit.tasks import TaskSpec
from toolkit.training.language import TokenFigures, next_tokens

END = 9


def test_the_target_is_the_token_behind_and_the_end_behind_the_last() -> None:
    ids = np.array([[5, 6, 7, 8], [5, 6, 0, 0], [5, 0, 0, 0]])
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    assert next_tokens(ids, mask, END).tolist() == [
        [6, 7, 8, IGNORED],  # cut: nobody knows what is behind it
        [6, END, IGNORED, IGNORED],
        [END, IGNORED, IGNORED, IGNORED],
    ]


def test_the_loss_of_a_token_is_its_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, targets = 5 * torch.randn(2, 3, 7), torch.tensor([[1, 2, IGNORED], [0, IGNORED, 6]])
    answers = token_answers(logits.numpy(), targets.numpy(), first_text=4)
    wanted = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert answers["loss"].mean() == pytest.approx(float(wanted), rel=1e-6)
    assert perplexity(answers) == pytest.approx(float(wanted.exp()), rel=1e-6)
    assert answers["target"].tolist() == [1, 2, 0, 6]
    assert answers["text"].tolist() == [4, 4, 5, 5]
    assert answers["predicted"].tolist() == [int(logits[r, p].argmax()) for r, p in PLACES]


PLACES = [(0, 0), (0, 1), (1, 0), (1, 2)]


def test_figures_of_batches_are_those_of_the_whole_without_the_ends() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(4, 3, 10), torch.randint(0, END, (4, 3))
    targets[:, 2] = torch.tensor([END, END, IGNORED, IGNORED])
    figures = TokenFigures((END,))
    for rows in (slice(0, 1), slice(1, 4)):
        loss = functional.cross_entropy(logits[rows].flatten(0, 1), targets[rows].flatten())
        figures.add(logits[rows], targets[rows], loss)
    whole = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert float(figures.loss) == pytest.approx(float(whole), rel=1e-6)
    assert len(figures.answers) == 8
    assert END not in figures.answers["target"]
    assert figures.answers["text"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_intervals_hold_texts_together() -> None:
    rows = [(1, 1, 0.5, 0)] * 50 + [(1, 2, 3.0, 1)] * 50
    found = measure_tokens(np.array(rows, TOKEN))
    assert found["next_token_accuracy"].value == 0.5
    assert found["next_token_accuracy"].interval_95 == (0.0, 1.0)  # two texts, not 100 tokens
    assert found["next_token_accuracy"].n == 2
    assert found["perplexity"].value == pytest.approx(np.exp(1.75))


def test_a_language_model_is_measured_by_its_tokens() -> None:
    task = TaskSpec(name="text-generation", output="logits")
    answers = np.array([(1, 1, 0.5, 0), (2, 1, 1.5, 1)], TOKEN)
    assert main_metric(task) == "next_token_accuracy"
    assert [*measure(task, answers, answers["target"])] == ["next_token_accuracy", "perplexity"]
