"""One text to one label, as users of each library write it; a contender of `benchmarks.peers`.

Each function runs in a process, and partly in an environment, of its own, so that it imports its
library inside. All take `folder` (what they load) and `text`.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LABELS = ("negative", "positive")
FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """A contender that was opened.

    Attributes:
        classify: The label and its probability.
        facts: What the table says of it.
    """

    classify: Callable[[], tuple[str, float]]
    facts: Mapping[str, Any]

    def run(self) -> object:
        """One run."""
        return self.classify()

    def save(self, file: str) -> None:
        """Write the probability of "positive"."""
        label, score = self.classify()
        np.savez(file, positive=np.array([score if label == LABELS[1] else 1 - score]))


def ours(*, folder: str, text: str, variant: str) -> Call:
    """`load(package)(text)`."""
    from toolkit import load

    model = load(folder, variant=variant)

    def classify() -> tuple[str, float]:
        result = model(text)
        return result["label"], result["score"]

    return Call(classify=classify, facts={"onnxruntime": _version("onnxruntime")})


def onnxruntime(*, folder: str, text: str, provider: str = "CPUExecutionProvider") -> Call:
    """A session and a tokenizer by hand."""
    import onnxruntime as ort
    from tokenizers import Tokenizer

    root = Path(folder)
    files = list(root.glob("*.onnx"))
    session = ort.InferenceSession(files[0], providers=[provider])
    if provider not in session.get_providers():
        raise SystemExit(f"{provider} did not start: {session.get_providers()}")
    tokenizer = Tokenizer.from_file(str(root / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()  # the file asks for one, which would shorten the work
    names = [node.name for node in session.get_inputs()]

    def classify() -> tuple[str, float]:
        encoding = tokenizer.encode(text)
        feeds = {name: np.array([getattr(encoding, FIELDS[name])], np.int64) for name in names}
        logits = session.run(None, feeds)[0][0]
        exponents = np.exp(logits - logits.max())
        scores = exponents / exponents.sum()
        best = int(scores.argmax())
        return LABELS[best], float(scores[best])

    return Call(classify=classify, facts={"onnxruntime": ort.__version__})


def torch(*, folder: str, text: str, compiled: bool = False) -> Call:
    """A checkpoint and its tokenizer from transformers, in inference mode."""
    torch, transformers = _quiet_torch()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    called = torch.compile(model) if compiled else model

    def classify() -> tuple[str, float]:
        with torch.inference_mode():
            scores = called(**tokenizer(text, return_tensors="pt")).logits[0].softmax(-1)
        best = int(scores.argmax())
        return LABELS[best], float(scores[best])

    facts = {"torch": torch.__version__, "transformers": transformers.__version__}
    return Call(classify=classify, facts=facts)


def optimum(*, folder: str, text: str) -> Call:
    """The pipeline of transformers around optimum's ONNX model."""
    _, transformers = _quiet_torch()
    library = importlib.import_module("optimum.onnxruntime")
    model = library.ORTModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)

    def classify() -> tuple[str, float]:
        found = pipeline(text)[0]
        return found["label"], found["score"]

    facts = {name: _version(name) for name in ("optimum-onnx", "onnxruntime", "transformers")}
    return Call(classify=classify, facts=facts)


def export_with_optimum(checkpoint: str, fp32: str, int8: str) -> None:
    """What `optimum-cli export onnx` and `optimum-cli onnxruntime quantize` write; see `peers`."""
    _, transformers = _quiet_torch()
    library = importlib.import_module("optimum.onnxruntime")
    configuration = importlib.import_module("optimum.onnxruntime.configuration")
    kind = library.ORTModelForSequenceClassification
    kind.from_pretrained(checkpoint, export=True).save_pretrained(fp32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.save_pretrained(fp32)
    library.ORTQuantizer.from_pretrained(fp32).quantize(
        save_dir=int8,
        quantization_config=configuration.AutoQuantizationConfig.avx512_vnni(
            is_static=False, per_channel=True
        ),
    )
    tokenizer.save_pretrained(int8)
    print(json.dumps({"written": [fp32, int8]}))


def _quiet_torch() -> tuple[Any, Any]:
    transformers = importlib.import_module("transformers")
    transformers.logging.set_verbosity_error()
    return importlib.import_module("torch"), transformers


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)
