"""A checkpoint's package through every rewriter, timed for real, and on to int8."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from toolkit.evaluate.validation import validate
from toolkit.optimize.step import optimize
from toolkit.package import ModelPackage
from toolkit.runtime import SessionOptions

pytest.importorskip("transformers")
pytestmark = [pytest.mark.torch, pytest.mark.slow]


@pytest.mark.filterwarnings("ignore:.*not above chance")  # its weights are random
def test_every_rewriter_keeps_what_a_bert_computes_and_int8_starts_from_it(tmp_path: Path) -> None:
    from tests.export.checkpoints import bert_checkpoint, labeled
    from toolkit import export, load, quantize
    from toolkit.profiling.paired import PairedLatency
    from toolkit.quantize import Limits

    source = bert_checkpoint(tmp_path / "bert", **labeled(("no", "yes")))
    path = tmp_path / "bert.ortpackage"
    export(source, path)
    report = optimize(path, options=SessionOptions(threads=1))
    tried = {candidate.method: candidate for candidate in report.candidates}
    assert [*tried] == ["fused", "transformers", "onnxscript", "fp16"]
    for method in ("fused", "transformers", "onnxscript"):
        candidate = tried[method]
        assert candidate.max_abs_error is not None, candidate.why
        assert candidate.max_abs_error < 1e-5
        assert [timing.at.split(", ")[-1] for timing in candidate.timings][1:] == [
            "sequence 8",
            "sequence 64",  # the model has no more positions
        ]
        assert candidate.kept == (candidate.why == "faster")
    assert tried["fp16"].why.startswith("not tried")

    # Whatever was faster just now, what follows needs the fused variant.
    always = PairedLatency(reference_ms=1, candidate_ms=0.5, ratio=0.5, ratio_95=(0.4, 0.6))
    optimize(path, methods=["fused"], name="again", measure=lambda *_, rounds, pairs: always)
    texts = ["the film is good", "a bad one", "nothing happens", "what a story"] * 8
    answers = load(path, variant="fp32").batch(texts)
    labels = [answer["label"] for answer in answers]
    labels[0] = "no" if labels[0] == "yes" else "yes"  # data of one label is refused
    lines = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *lines]))
    limits = Limits(max_drop=1.0)
    made = quantize(
        path, tmp_path / "data.csv", variant="again", limits=limits, methods=["rowwise"]
    )
    assert made.parent.variant == "again"
    after = ModelPackage.open(path)
    operators = [node.op_type for node in onnx.load(after.variant("again").model).graph.node]
    assert operators.count("FusedMatMul") == 2  # masked attention, once a layer
    assert after.variant("int8").contents.parent == "again"
    failed = [check for check in validate(path).checks if not check.passed]
    assert not failed
    probabilities = [
        np.array([*answer["scores"].values()])
        for variant in ("fp32", "again")
        for answer in load(path, variant=variant).batch(texts[:4])
    ]
    np.testing.assert_allclose(probabilities[:4], probabilities[4:], rtol=0, atol=1e-5)
