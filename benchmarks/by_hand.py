"""What one writes without the toolkit: a tokenizer, a session, and the label of one text.

As a script: `python benchmarks/by_hand.py MODEL TOKENIZER MAX_LENGTH ACTIVATION LABELS TEXT`. It
checks nothing and says nothing of where it ran; that is the comparison.
"""

import math
import sys
from collections.abc import Callable

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


def classifier(
    model: str,
    tokenizer_file: str,
    *,
    max_length: int,
    activation: str,
    labels: list[str],
    threads: int = 0,
    spinning: bool = True,
) -> Callable[[str], tuple[str, float]]:
    """A function from a text to its label and probability."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(tokenizer_file)
    tokenizer.enable_truncation(max_length)
    names = [node.name for node in session.get_inputs()]

    def classify(text: str) -> tuple[str, float]:
        encoding = tokenizer.encode_batch_fast([text])[0]  # computes no character offsets
        feeds = {name: np.array([getattr(encoding, FIELDS[name])], np.int64) for name in names}
        logits = session.run(None, feeds)[0][0]
        if activation == "sigmoid":
            positive = 1 / (1 + math.exp(-float(logits[0])))
            scores = [1 - positive, positive]
        else:
            exponents = [math.exp(logit) for logit in logits.tolist()]
            scores = [exponent / sum(exponents) for exponent in exponents]
        best = scores.index(max(scores))
        return labels[best], scores[best]

    return classify


if __name__ == "__main__":
    _, path, tokens, limit, kind, names, sentence = sys.argv
    answer = classifier(
        path, tokens, max_length=int(limit), activation=kind, labels=names.split(",")
    )
    label, score = answer(sentence)
    print(f"{label}  {score:.4f}")
