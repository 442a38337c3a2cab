"""The part of a manifest that says what the model is for."""

from typing import Literal

import msgspec

TaskName = Literal[
    "token-classification",
    "question-answering",
    "fill-mask",
    "feature-extraction",
    "text-generation",
    "text-to-text",
    "object-detection",
    "speech-recognition",
    "text-classification",
    "tabular-classification",
    "tabular-regression",
    "image-classification",
    "tensors",
]


class TextSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How `tokenizer.json` is applied.

    Attributes:
        max_length: Tokens kept of a text, special tokens included.
        pad_id: Token id that fills a shorter text of a batch, on the right.
        pad_token: The token of that id.
    """

    max_length: int
    pad_id: int
    pad_token: str


class ImageSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an image becomes `float32[batch, channels, height, width]`.

    Attributes:
        height: Rows after resizing.
        width: Columns after resizing.
        mode: Pillow's mode: "L" (one channel) or "RGB" (three).
        scale: Factor on pixel values, which are 0 to 255.
        mean: Subtracted after scaling, one a channel; empty for none.
        std: Divisor after that, one a channel; empty for none.
    """

    height: int
    width: int
    mode: Literal["L", "RGB"] = "RGB"
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


class ChatSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands around a question to a model that was trained on conversations.

    A checkpoint's chat template is a program (Jinja). Exporting runs it once and keeps what it
    writes around the text of a single turn, so that nothing on the device has to.

    Attributes:
        before: Text before the question: system message and the like.
        after: Text behind it, up to where the answer begins.
    """

    before: str
    after: str


class GenerationSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a decoder makes a text, token by token.

    Attributes:
        max_context: Tokens that the decoder has room for, prompt and answer together.
        end_ids: Token ids that end an answer.
        start_ids: Tokens that the decoder of an encoder-decoder begins with; of a decoder alone,
            what an empty prompt becomes.
        chat: What stands around a question; none for a model that only continues texts.
    """

    max_context: int
    end_ids: tuple[int, ...] = ()
    start_ids: tuple[int, ...] = ()
    chat: ChatSpec | None = None


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes in, and what the outputs mean.

    Attributes:
        name: The task.
        labels: Class names in the order of the logits; for one sigmoid logit, the negative class
            comes first.
        output: The graph output that holds the answer.
        activation: What turns that output into probabilities.
        value_transform: What turns a regression output into the value; "exp" for a model of
            the logarithm.
        text: For text tasks.
        image: For image tasks.
        generation: For tasks whose answer is made token by token.
    """

    name: TaskName
    labels: tuple[str, ...] = ()
    output: str = ""
    activation: Literal["softmax", "sigmoid", "none"] = "none"
    value_transform: Literal["none", "exp"] = "none"
    text: TextSpec | None = None
    image: ImageSpec | None = None
    generation: GenerationSpec | None = None
