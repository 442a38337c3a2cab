"""Items to feeds, outputs to results."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from toolkit.errors import InputError
from toolkit.tasks.reader import Batch, Item, Reader, Result, TaskOptions
from toolkit.tasks.specification import AudioSpec, TaskSpec
from toolkit.tensors import Array, TensorSpec

FEW = 64
"""Up to this many numbers plain Python beats numpy, whose every call costs a microsecond."""

STATES = "last_hidden_state"
"""The output of feature extraction that is not pooled."""

DECIDED = 0.5
"""From this probability on an item has a label, where it may have any number of them."""

DATA_LIMIT = 1000
"""Above this many elements a plain tensor's result leaves its data out (design.md, section 5)."""


class Encoder(Protocol):
    """Makes a batch of feeds from items."""

    def __call__(self, items: Sequence[Item], numbers: Sequence[int]) -> dict[str, Array]:
        """Feeds by input name for a batch of items, which messages call by their numbers."""


class Task:
    """One model's pre- and post-processing.

    Args:
        specification: What the model is for.
        encoder: Makes feeds; none where only tensors can go in, or a reader does.
        reader: Makes feeds and results, where results need more of an item than outputs say.
    """

    def __init__(
        self, specification: TaskSpec, encoder: Encoder | None, reader: Reader | None = None
    ) -> None:
        self.specification = specification
        self._encoder = encoder
        self._reader = reader
        self._labels = specification.labels

    @property
    def reads_items(self) -> bool:
        """Whether results need the batch that the outputs belong to."""
        return self._reader is not None

    @property
    def takes_one(self) -> bool:
        """Whether items are run one by one, since they would have to be padded to share a batch."""
        spec = self.specification
        if spec.audio is not None:
            return True
        return spec.image is not None and not (spec.image.height and spec.image.width)

    def prepare(self, items: Sequence[Item], numbers: Sequence[int] | None = None) -> Batch:
        """A batch of items, which `decode` takes beside the outputs; see `encode`."""
        if self._reader is not None:
            return self._reader.encode(items, numbers or range(1, len(items) + 1))
        return Batch(self.encode(items, numbers))

    def encode(
        self, items: Sequence[Item], numbers: Sequence[int] | None = None
    ) -> dict[str, Array]:
        """Feeds for a batch of items; an item may take several rows of them (`Batch.rows`).

        Args:
            items: The items.
            numbers: What messages call each one; 1, 2, 3 and so on when not given.

        Raises:
            InputError: An item does not fit, or the model takes tensors only.
        """
        if self._reader is not None:
            return self._reader.encode(items, numbers or range(1, len(items) + 1)).feeds
        if self._encoder is None:
            raise InputError(
                "this model has no preprocessing: it takes tensors, not text or rows",
                expected="one file an input",
                fix="toolkit infer MODEL --input NAME=FILE.npy",
            )
        return self._encoder(items, numbers or range(1, len(items) + 1))

    def decode(self, outputs: Mapping[str, Array], batch: Batch | None = None) -> list[Result]:
        """One result an item, in order.

        A single one with all tensors for the task "tensors", and where `reads_items` and no batch
        is given.

        Args:
            outputs: What the model says.
            batch: What it was asked, from `prepare`.
        """
        spec = self.specification
        if self._reader is not None and batch is not None:
            return self._reader.decode(outputs, batch)
        # One step of a decoder makes the logits of a token, which are no text yet.
        if self._reader is not None or spec.generation is not None or spec.name == "tensors":
            return [{"outputs": {name: _tensor_result(value) for name, value in outputs.items()}}]
        answer = outputs[spec.output]
        if spec.name == "feature-extraction":
            return [{"embedding": row} for row in answer.tolist()]
        if not self._labels:
            values = np.exp(answer) if spec.value_transform == "exp" else answer
            return [{"value": value} for value in values.reshape(len(values)).tolist()]
        if answer.size <= FEW:
            rows = (answer if answer.ndim == 2 else answer.reshape(len(answer), -1)).tolist()
            return [self._classification(self._probabilities_of_one(row)) for row in rows]
        return [self._classification(row) for row in self.probabilities(answer).tolist()]

    def _probabilities_of_one(self, logits: list[float]) -> list[float]:
        """What `probabilities` gives for one item."""
        if self.specification.activation == "sigmoid":
            pairs = [_sigmoid(logit) for logit in logits]
            return [yes for _, yes in pairs] if self.specification.multi_label else [*pairs[0]]
        if self.specification.activation == "softmax":
            largest = max(logits)
            powers = [math.exp(logit - largest) for logit in logits]
            total = sum(powers)
            return [power / total for power in powers]
        return logits

    def probabilities(self, logits: Array) -> Array:
        """float[batch, labels] of probabilities from the task's output, labels on its last axis."""
        if self.specification.activation == "sigmoid":
            power = np.exp(-np.abs(logits))  # at most 1, whatever the logit
            more, less = 1.0 / (1.0 + power), power / (1.0 + power)
            yes = np.where(logits >= 0, more, less)
            if self.specification.multi_label:
                return yes.reshape(len(logits), -1)
            no = np.where(logits >= 0, less, more)
            return np.hstack([no.reshape(-1, 1), yes.reshape(-1, 1)])
        if self.specification.activation == "softmax":
            shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
            return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
        return logits

    def _classification(self, row: list[float]) -> Result:
        score = max(row)
        label = self._labels[row.index(score)]
        scores = dict(zip(self._labels, row, strict=True))
        result: Result = {"label": label, "score": score, "scores": scores}
        if self.specification.multi_label:
            result["labels"] = [name for name, yes in scores.items() if yes >= DECIDED]
        return result


def _sigmoid(logit: float) -> tuple[float, float]:
    """The probabilities of no and yes."""
    power = math.exp(-abs(logit))  # at most 1, whatever the logit
    more, less = 1.0 / (1.0 + power), power / (1.0 + power)
    return (less, more) if logit >= 0 else (more, less)


def _tensor_result(value: object) -> Result:
    if not isinstance(value, np.ndarray):  # a sequence, a map, or an optional that is not there
        sequence = value if isinstance(value, list) else [value]
        return {"dtype": type(value).__name__, "shape": [len(sequence)], "data": value}
    strings = value.dtype.kind in "OUS"
    result: Result = {"dtype": "string" if strings else value.dtype.name, "shape": [*value.shape]}
    if value.size <= DATA_LIMIT:
        result["data"] = value.tolist()
    return result


def open_task(
    specification: TaskSpec,
    preprocessing: Path | None,
    inputs: Sequence[TensorSpec],
    options: TaskOptions | None = None,
) -> Task:
    """The task that a specification describes.

    Args:
        specification: What the model is for.
        preprocessing: The folder that holds `tokenizer.json` or `features.json`.
        inputs: The graph's inputs.
        options: How items are read.

    Raises:
        InputError: A preprocessing file is missing or broken.
    """
    options = options or TaskOptions()
    if specification.audio is not None:
        return _audio_task(specification, specification.audio, inputs)
    if specification.name in {"object-detection", "zero-shot-image-classification"}:
        return Task(
            specification, None, _image_reader(specification, preprocessing, inputs, options)
        )
    if specification.text is not None and preprocessing is not None:
        return _text_task(specification, preprocessing / "tokenizer.json", inputs, options)
    return Task(specification, _open_encoder(specification, preprocessing, inputs))


def _audio_task(specification: TaskSpec, audio: AudioSpec, inputs: Sequence[TensorSpec]) -> Task:
    if audio.ctc is not None:
        from toolkit.tasks.ctc import CtcReader

        output = specification.output
        return Task(specification, None, CtcReader(audio, specification.labels, inputs, output))
    from toolkit.tasks.mel import MelEncoder

    return Task(specification, MelEncoder(audio, inputs[0].name))


def _image_reader(
    specification: TaskSpec,
    preprocessing: Path | None,
    inputs: Sequence[TensorSpec],
    options: TaskOptions,
) -> Reader:
    from toolkit.tasks.image import ImageEncoder

    assert specification.image is not None
    encoder = ImageEncoder(specification.image, inputs)
    if specification.detection is not None:
        from toolkit.tasks.detection import DetectionReader

        return DetectionReader(
            encoder,
            specification.output,
            specification.labels,
            specification.detection,
            threshold=options.threshold,
            overlap=options.overlap,
        )
    from toolkit.tasks.text import TextEncoder
    from toolkit.tasks.zero_shot import ZeroShotReader

    assert specification.text is not None
    assert preprocessing is not None
    tokens = [spec for spec in inputs if len(spec.shape) == 2]
    file, text = preprocessing / "tokenizer.json", specification.text
    texts = TextEncoder(file, text, tokens, truncate=options.truncate)
    return ZeroShotReader(
        encoder,
        texts,
        specification.output,
        template=specification.template,
        labels=options.candidates,
    )


def _text_task(
    specification: TaskSpec, file: Path, inputs: Sequence[TensorSpec], options: TaskOptions
) -> Task:
    from toolkit.tasks.text import TextEncoder, open_tokenizer

    text, output = specification.text, specification.output
    assert text is not None
    if specification.name == "text-generation":
        from toolkit.tasks.prompt import PromptEncoder

        assert specification.generation is not None
        prompts = PromptEncoder(
            file, text, specification.generation, inputs, truncate=options.truncate
        )
        return Task(specification, prompts)
    if specification.name == "question-answering":
        from toolkit.tasks.answers import AnswerReader

        tokenizer = open_tokenizer(file, text)
        answers = AnswerReader(tokenizer, text, inputs, no_answer=options.no_answer)
        return Task(specification, None, answers)
    encoder = TextEncoder(file, text, inputs, truncate=options.truncate)
    if specification.name == "token-classification":
        from toolkit.tasks.entities import EntityReader

        return Task(specification, None, EntityReader(encoder, output, specification.labels))
    if specification.name == "fill-mask":
        from toolkit.tasks.masks import MaskReader

        mask = text.mask_token
        masks = MaskReader(encoder, output, mask_token=mask, top_k=options.top_k)
        return Task(specification, None, masks)
    if specification.name == "feature-extraction" and output == STATES:
        from toolkit.tasks.states import StateReader

        return Task(specification, None, StateReader(encoder, output))
    return Task(specification, encoder)


def _open_encoder(
    specification: TaskSpec, preprocessing: Path | None, inputs: Sequence[TensorSpec]
) -> Encoder | None:
    if specification.name.startswith("tabular-") and preprocessing is not None:
        from toolkit.tasks.tabular import FeatureTable

        return FeatureTable.read(preprocessing / "features.json").encode
    if specification.image is not None:
        from toolkit.tasks.image import ImageEncoder

        return ImageEncoder(specification.image, inputs)
    return None
