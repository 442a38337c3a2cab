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
    "zero-shot-image-classification",
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
        stride: For question answering: tokens that two windows of a long context share.
        mask_token: For fill-mask: what stands for a word to be found.
    """

    max_length: int
    pad_id: int
    pad_token: str
    stride: int = 0
    mask_token: str = ""


Resample = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
"""Pillow's filters, in the order of their numbers."""


class ResizeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which size an image is given, before anything is cut off or added.

    Attributes:
        kind: "exact" makes it `height` x `width`, whatever its proportions. All others keep the
            proportions: "shortest" makes the shorter edge `shortest`; "edges" does the same,
            unless the longer one would exceed `longest`, which it becomes then; "within" makes
            it as large as fits into `height` x `width`.
        height: Rows, for "exact" and "within".
        width: Columns, for "exact" and "within".
        shortest: Pixels of the shorter edge, for "shortest" and "edges".
        longest: Most pixels of the longer edge, for "edges".
        multiple: For "edges": both edges are rounded down to a multiple of it.
        resample: Pillow's filter.
    """

    kind: Literal["exact", "shortest", "edges", "within"] = "exact"
    height: int = 0
    width: int = 0
    shortest: int = 0
    longest: int = 0
    multiple: int = 1
    resample: Resample = "bicubic"


class ImageSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an image becomes `float32[batch, channels, height, width]`.

    Attributes:
        height: Rows of what the graph gets; 0 where every image keeps its own, and the smaller
            ones of a batch get zeros below.
        width: Columns of what the graph gets; 0 likewise, with zeros on the right.
        mode: Pillow's mode: "L" (one channel) or "RGB" (three).
        scale: Factor on pixel values, which are 0 to 255.
        mean: Subtracted after scaling, one a channel; empty for none.
        std: Divisor after that, one a channel; empty for none.
        resize: How it is resized; to `height` x `width` by Pillow's bicubic when not given.
        fill: How an image that then has another size comes to `height` x `width`: "crop" takes its
            middle, with black around a smaller one; "pad" adds zeros on the right and below.
    """

    height: int
    width: int
    mode: Literal["L", "RGB"] = "RGB"
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: ResizeSpec | None = None
    fill: Literal["crop", "pad"] = "crop"


class DetectionSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How boxes are read from a detector's outputs.

    Its logits are a softmax over the labels and, last, "nothing". Of boxes of one label that
    overlap, the most certain one stays.

    Attributes:
        boxes: The graph output with one box a query: center x, center y, width, height, as
            fractions of the image.
        threshold: A box is kept when its probability is above.
        overlap: Intersection over union above which two boxes of one label are the same object.
    """

    boxes: str
    threshold: float = 0.5
    overlap: float = 0.7


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


class LogitSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model forbids or forces while it makes a text, as its generation configuration says.

    Attributes:
        never: Tokens that never come.
        not_first: Tokens that are not an answer's first.
        first: The token that every answer begins with.
        last: The token that ends an answer which reaches its limit of tokens.
        fewest: Tokens that an answer has at least before it ends.
        no_repeat: Length of the sequences of tokens that stand in an answer once; 0 for any.
    """

    never: tuple[int, ...] = ()
    not_first: tuple[int, ...] = ()
    first: int | None = None
    last: int | None = None
    fewest: int = 0
    no_repeat: int = 0


class GenerationSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a decoder makes a text, token by token.

    Attributes:
        max_context: Tokens that the decoder has room for, prompt and answer together.
        end_ids: Token ids that end an answer.
        start_ids: Tokens that the decoder of an encoder-decoder begins with; of a decoder alone,
            what an empty prompt becomes.
        chat: What stands around a question; none for a model that only continues texts.
        logits: What is forbidden and forced.
    """

    max_context: int
    end_ids: tuple[int, ...] = ()
    start_ids: tuple[int, ...] = ()
    chat: ChatSpec | None = None
    logits: LogitSpec = LogitSpec()


class CtcSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a text is read from one token a frame (connectionist temporal classification).

    The tokens are the task's labels. Of equal ones in a row one is kept, then the blanks go.

    Attributes:
        blank: The token that means nothing.
        delimiter: The token between two words; empty for none.
        hop: Samples from one frame to the next.
        lower_case: Whether the text is written in lower case.
    """

    blank: str
    delimiter: str
    hop: int
    lower_case: bool = False


class SpeechSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a decoder of speech is told before it begins (Whisper).

    Attributes:
        languages: Token by language code, such as "de"; empty for a model of one language.
        tasks: Token of "transcribe" and of "translate"; empty for a model that only transcribes.
        suffix: Tokens behind those: that there shall be no time stamps.
        language: The language where the user names none; empty to detect it.
        task: The task where the user names neither it nor a language; empty to tell none.
    """

    languages: dict[str, int] = {}
    tasks: dict[str, int] = {}
    suffix: tuple[int, ...] = ()
    language: str = ""
    task: str = "transcribe"


class AudioSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How audio becomes `float32[batch, samples]` or `float32[batch, mel bins, frames]`.

    Attributes:
        rate: Samples a second that the model was trained with.
        features: "waveform" for the samples, "log-mel" for Whisper's spectrogram.
        window_s: Seconds of audio in one run. For "log-mel" longer audio is cut where it is quiet,
            and shorter audio is filled up with silence; for "waveform" windows overlap.
        normalize: For "waveform": whether samples are given mean 0 and variance 1.
        shortest_s: Seconds below which audio is filled up with silence: a model's convolutions
            need as many.
        mel_bins: For "log-mel": its rows.
        fft: For "log-mel": samples of one Fourier transform.
        hop: For "log-mel": samples from one transform to the next.
        ctc: For models that give one token a frame.
        speech: For models that write a text token by token.
    """

    rate: int
    features: Literal["waveform", "log-mel"]
    window_s: float
    normalize: bool = False
    shortest_s: float = 0.0
    mel_bins: int = 0
    fft: int = 0
    hop: int = 0
    ctc: CtcSpec | None = None
    speech: SpeechSpec | None = None


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes in, and what the outputs mean.

    Attributes:
        name: The task.
        labels: Class names in the order of the logits; for one sigmoid logit, the negative class
            comes first. None for a regression.
        output: The graph output that holds the answer.
        activation: What turns that output into probabilities.
        multi_label: Whether an item has any number of the labels, each with a logit of its own.
        value_transform: What turns a regression output into the value; "exp" for a model of
            the logarithm.
        text: For text tasks.
        image: For image tasks.
        audio: For tasks on sound.
        detection: For object detection.
        template: For zero-shot classification: the text that a candidate label becomes, with
            "{}" for the label.
        generation: For tasks whose answer is made token by token.
    """

    name: TaskName
    labels: tuple[str, ...] = ()
    output: str = ""
    activation: Literal["softmax", "sigmoid", "none"] = "none"
    multi_label: bool = False
    value_transform: Literal["none", "exp"] = "none"
    text: TextSpec | None = None
    image: ImageSpec | None = None
    audio: AudioSpec | None = None
    detection: DetectionSpec | None = None
    template: str = ""
    generation: GenerationSpec | None = None
