"""`model/model.json` of a bundle: what an app must know of its model, for any language.

Beside it lie the graph, the tokenizer or the feature table, and `self_test.bin`. Apps read the JSON
and nothing else of the package; the names in it are the contract between this folder and the apps.
"""

from pathlib import Path
from typing import Literal

import msgspec

from toolkit.tasks.specification import ImageSpec
from toolkit.tasks.tabular import Column
from toolkit.tensors import TensorSpec

FOLDER = "model"
DOCUMENT = "model.json"
GRAPH = "model.onnx"
TENSORS = "self_test.bin"

Field = Literal["ids", "attention_mask", "type_ids"]
"""What of a tokenized text a graph input takes."""


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """How a text becomes `[1, sequence]`.

    Attributes:
        tokenizer: File name of the Hugging Face `tokenizer.json`, its truncation and padding unset.
        max_length: Tokens kept of a text, special tokens included.
        length: Tokens that every text is padded to on the right; 0 for none.
        pad_id: Token id of padding; its attention mask and type are 0.
        inputs: Of each graph input what it takes.
    """

    tokenizer: str
    max_length: int
    length: int
    pad_id: int
    inputs: dict[str, Field]


class StoredTensor(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor in `self_test.bin`, which holds one after another, little-endian, row by row.

    Attributes:
        name: The graph input or output.
        dtype: numpy's name of the element type.
        shape: Its sizes.
        offset: Bytes before it in the file, a multiple of 8.
        bytes: Its length.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    bytes: int


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One input with what the graph answered where the bundle was made.

    Attributes:
        item: The text, [text, second text], row {column: value}, or pixels [row][column] or
            [row][column][channel], 0 to 255; null where tensors go in.
        inputs: What preprocessing must make of the item, exactly.
        outputs: What the graph must answer, within the limit.
        result: What postprocessing made of it.
    """

    item: object
    inputs: tuple[StoredTensor, ...]
    outputs: tuple[StoredTensor, ...]
    result: object


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """What proves that a device computes what this machine did.

    Attributes:
        limit: The largest difference of an output's element that is allowed.
        file: Where the tensors are.
        cases: At least one.
    """

    limit: float
    file: str
    cases: tuple[Case, ...]


class AppTask(msgspec.Struct, frozen=True, kw_only=True):
    """What the output means.

    Attributes:
        name: The task, as the package calls it.
        labels: Class names in the order of the logits; for one sigmoid logit the negative class
            comes first.
        output: The graph output that holds the answer; empty where all outputs are the answer.
        activation: What turns it into probabilities: "softmax", "sigmoid" or "none".
        multi_label: Whether an item has any number of the labels.
        value_transform: "exp" where the value is the exponential of the output.
    """

    name: str
    labels: tuple[str, ...]
    output: str
    activation: str
    multi_label: bool
    value_transform: str


class AppModel(msgspec.Struct, frozen=True, kw_only=True):
    """The document.

    Attributes:
        schema_version: "1".
        name: The package's name.
        version: The package's version.
        variant: The variant that was bundled.
        precision: Its precision.
        target: What the bundle was made for.
        graph: File name of the graph.
        files: SHA-256 of each file beside the document, which the self-test checks.
        task: What the output means.
        inputs: The graph inputs.
        outputs: The graph outputs.
        text: How texts are tokenized; null for other models.
        columns: The columns of a row; null for other models. Numeric ones become the input
            "numeric", float32[1, columns], categorical ones "categorical", int64[1, columns].
        image: How pixels become tensors; null for other models.
        session_options: ONNX Runtime's session options for this graph.
        self_test: The reference cases.
    """

    schema_version: str = "1"
    name: str
    version: str
    variant: str
    precision: str
    target: str
    graph: str
    files: dict[str, str]
    task: AppTask
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    text: Text | None
    columns: tuple[Column, ...] | None
    image: ImageSpec | None
    session_options: dict[str, str]
    self_test: SelfTest

    def write(self, file: Path) -> None:
        """Write it as JSON that a person can read."""
        file.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
