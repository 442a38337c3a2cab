"""What torch.onnx and eager code write, from trace to row-wise int8."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from toolkit.optimize import load_with_shapes, optimize_for_cpu
from toolkit.quantize.rowwise import quantize_rowwise
from toolkit.runtime import SessionOptions, open_session
from toolkit.tensors import Array

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

HEADS, SIZE = 4, 8
WIDTH = HEADS * SIZE


class Encoder(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Two layers of attention with a mask; answers for token 0."""

    def __init__(self, *, eager: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.eager = eager
        self.table = torch.nn.Embedding(50, WIDTH)
        self.layers = torch.nn.ModuleList(
            torch.nn.ModuleDict(
                {name: torch.nn.Linear(WIDTH, WIDTH) for name in ("q", "k", "v", "o", "f")}
                | {"norm": torch.nn.LayerNorm(WIDTH), "last": torch.nn.LayerNorm(WIDTH)}
            )
            for _ in range(2)
        )
        self.head = torch.nn.Linear(WIDTH, 40)

    def attend(self, layer: Any, x: Any, mask: Any) -> Any:
        def split(name: str) -> Any:
            return layer[name](x).view(*x.shape[:2], HEADS, SIZE).transpose(1, 2)

        q, k, v = split("q"), split("k"), split("v")
        if self.eager:
            bias = torch.where(mask, 0.0, torch.finfo(torch.float32).min)
            scores = q @ k.transpose(2, 3) * SIZE**-0.5 + bias
            mixed = torch.softmax(scores, -1) @ v
        else:
            mixed = torch.nn.functional.scaled_dot_product_attention(
                q, k, v, torch.where(mask, 0.0, torch.finfo(torch.float32).min)
            )
        return layer["o"](mixed.transpose(1, 2).reshape(x.shape))

    def forward(self, ids: Any, keep: Any) -> Any:
        x = self.table(ids)
        mask = keep[:, None, None, :].bool().expand(-1, 1, keep.shape[1], -1)
        for layer in self.layers:
            x = layer["norm"](x + self.attend(layer, x, mask))
            x = layer["last"](x + torch.nn.functional.gelu(layer["f"](x)))
        return self.head(x[:, 0])


def exported(folder: Path, *, eager: bool) -> Path:
    from toolkit.export import graph
    from toolkit.export.parts import TorchPart, TorchSource
    from toolkit.export.torch_graph import trace
    from toolkit.export.weights import put_back
    from toolkit.tasks import TaskSpec

    axes = {0: "batch", 1: "sequence"}
    part = TorchPart(
        module=Encoder(eager=eager).eval(),
        feeds=feeds(2, 5),
        dimensions={"ids": axes, "keep": axes},
    )
    source = TorchSource(
        kind="module",
        name="encoder",
        sha256="",
        parts=(part,),
        task=TaskSpec(name="tensors"),
    )
    model = trace(source, part, feeds(2, 5), ["y"], opset=20)
    model = graph.slimmed(put_back(model))
    graph.strip(model)
    model.ir_version = 10
    graph.write(model, folder / "model.onnx")
    return folder / "model.onnx"


def feeds(batch: int, sequence: int) -> dict[str, Array]:
    ids = np.random.default_rng(1).integers(0, 50, (batch, sequence))
    keep = np.arange(sequence)[None] < np.array([[sequence - i] for i in range(batch)])
    return {"ids": ids, "keep": keep.astype(np.int64)}


def answer(file: Path, given: dict[str, Array]) -> Array:
    return open_session(file, SessionOptions(threads=1)).run(given)["y"]


def test_an_export_holds_standard_operators_and_one_row_at_the_end(tmp_path: Path) -> None:
    from toolkit import export
    from toolkit.export import Exportable

    axes = {0: "batch", 1: "sequence"}
    source = Exportable(
        module=Encoder(eager=False).eval(),
        inputs={name: torch.from_numpy(value) for name, value in feeds(2, 5).items()},
        dynamic_dimensions={"ids": axes, "keep": axes},
        output_names=("y",),
    )
    export(source, tmp_path / "encoder.ortpackage")
    (file,) = (tmp_path / "encoder.ortpackage").rglob("model.onnx")
    nodes = onnx.load(file).graph.node
    assert {node.domain for node in nodes} <= {"", "ai.onnx"}
    assert not {"IsNaN", "Sum"} & {node.op_type for node in nodes}
    assert any(node.name.startswith("token/") for node in nodes)


@pytest.mark.parametrize("eager", [True, False])
def test_attention_is_found_and_every_answer_stays(tmp_path: Path, eager: bool) -> None:
    import onnx_ir as ir

    source = exported(tmp_path, eager=eager)
    model = load_with_shapes(source)
    optimize_for_cpu(model)
    found = [node.op_type for node in model.graph]
    assert found.count("FusedMatMul") == found.count("Softmax") == 2
    assert found.count("Sum") == 6
    assert not {"MultiHeadAttention", "IsNaN"} & {*found}
    (tmp_path / "fast.onnx").write_bytes(ir.to_proto(model).SerializeToString())
    for shape in ((3, 7), (1, 1), (2, 30)):
        before = answer(source, feeds(*shape))
        np.testing.assert_allclose(
            before, answer(tmp_path / "fast.onnx", feeds(*shape)), rtol=0, atol=2e-6
        )


def test_rowwise_int8_takes_the_rewritten_graph(tmp_path: Path) -> None:
    source = exported(tmp_path, eager=False)
    quantize_rowwise(source, tmp_path / "int8.onnx")
    nodes = onnx.load(tmp_path / "int8.onnx").graph.node
    assert sum(node.op_type == "FusedMatMul" for node in nodes) == 2
    assert any(node.name.startswith("token/") for node in nodes)
    given = feeds(4, 9)
    before, after = answer(source, given), answer(tmp_path / "int8.onnx", given)
    assert np.abs(before - after).max() < 0.03 * np.abs(before).max()
    alone = [{name: value[i : i + 1] for name, value in given.items()} for i in range(4)]
    together = np.concatenate([answer(tmp_path / "int8.onnx", each) for each in alone])
    np.testing.assert_allclose(after, together, rtol=0, atol=1e-5)
