"""What is quantized already is refused, and its float parent named."""

from pathlib import Path

import numpy as np
import pytest

from tests.quantize import foreign
from tests.quantize.foreign import rows
from toolkit.errors import InputError
from toolkit.export import export
from toolkit.optimize.step import optimize
from toolkit.package import ModelPackage
from toolkit.package.integrity import file_hashes
from toolkit.quantize import Limits, quantize


@pytest.mark.parametrize("method, name", [("static-minmax", "int8"), ("fp16", "fp16")])
def test_a_variant_that_was_rounded_is_refused_and_its_parent_named(
    package: ModelPackage, data: Path, method: str, name: str
) -> None:
    quantize(package.path, data, methods=[method], limits=Limits(max_drop=1.0))
    before = file_hashes(package.path)
    with pytest.raises(InputError, match=f"variant '{name}' is {name}") as refused:
        quantize(package.path, data, variant=name, name="again")
    assert refused.value.fix == "--variant fp32"
    with pytest.raises(InputError, match=f"variant '{name}' is {name}") as refused:
        optimize(package.path, variant=name, name="again")
    assert refused.value.fix == "--variant fp32"
    assert file_hashes(package.path) == before


@pytest.mark.parametrize("method", ["dynamic", "weight-only"])
def test_a_graph_that_was_quantized_before_it_was_exported_is_refused(
    tmp_path: Path, method: str
) -> None:
    model, made = foreign.constants(tmp_path / "model.onnx"), tmp_path / "made.onnx"
    np.savez(tmp_path / "data.npz", x=rows())
    limits = Limits(max_batch_flips=100)
    quantize(model, tmp_path / "data.npz", output=made, methods=[method], limits=limits)
    export(made, tmp_path / "made.ortpackage")
    with pytest.raises(InputError, match=r"quantized already|'int8' is int8") as refused:
        quantize(
            tmp_path / "made.ortpackage",
            tmp_path / "data.npz",
            variant=ModelPackage.open(tmp_path / "made.ortpackage").variant().name,
        )
    assert refused.value.fix.startswith("toolkit export")
