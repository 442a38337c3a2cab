"""`python -m benchmarks.cuda CHECKPOINT PACKAGE`: a BERT on a GPU beside torch, in one run.

The package is the checkpoint's, exported, with an fp16 variant (`toolkit optimize PKG --provider
cuda` makes one). Ours is a session with fixed shapes, bound tensors and a captured graph; theirs is
torch in fp16, eager at batch 1 and compiled at batch 32. Goals (issue 6): batch 1 of 128 tokens in
0.8 ms p50, at least three times faster than torch eager. `--provider cpu` tries the script where
there is no GPU: in fp32, eager only, and its figures mean nothing.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.pairs import Ratio, paired
from toolkit.choosing import chosen_variant
from toolkit.package import ModelPackage
from toolkit.runtime import Provider, SessionOptions, open_session
from toolkit.tensors import Array, TensorSpec

SEQUENCE = 128
TOLERANCE = 0.05
"""Of the outputs, beside torch's in the same precision."""


def feeds(inputs: tuple[TensorSpec, ...], batch: int) -> dict[str, Array]:
    """Token ids drawn with a seed, without padding."""
    drawn = np.random.default_rng(0).integers(1000, 2000, (batch, SEQUENCE), dtype=np.int64)
    other = {"input_ids": drawn, "token_type_ids": np.zeros_like(drawn)}
    return {spec.name: other.get(spec.name, np.ones_like(drawn)) for spec in inputs}


def ours(package: ModelPackage, provider: Provider, batch: int) -> tuple[Any, dict[str, Array]]:
    """A bound run, and what it was fed."""
    captured = {"enable_cuda_graph": "1"} if provider is Provider.CUDA else {}
    options = SessionOptions(
        provider=provider,
        provider_options=captured,
        require={str(provider): 1.0} if captured else {},
        fix_shapes={"batch": batch, "sequence": SEQUENCE},
    )
    variant = chosen_variant(package, None, options)
    session = open_session(package.verified(variant), options, config=variant.session_options)
    given = feeds(session.inputs, batch)
    print(f"batch {batch}: variant {variant.name}, {session.placement}, {session.elsewhere}")
    return session.bind(given), given


def theirs(checkpoint: Path, given: dict[str, Array], provider: Provider, *, compiled: bool) -> Any:
    """A call of torch that waits for its outputs."""
    on_gpu = provider is Provider.CUDA
    auto = transformers.AutoModelForSequenceClassification
    model = auto.from_pretrained(checkpoint, dtype=torch.float16 if on_gpu else torch.float32)
    device = torch.device("cuda" if on_gpu else "cpu")
    model = model.to(device).eval()
    tensors = {name: torch.from_numpy(array).to(device) for name, array in given.items()}
    run: Callable[..., Any] = torch.compile(model) if compiled and on_gpu else model

    def call() -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = run(**tensors).logits
        if on_gpu:
            torch.cuda.synchronize()
        return logits  # on its device, as ours leaves them

    return call


def compared(
    checkpoint: Path, package: ModelPackage, provider: Provider, batch: int, pairs: int
) -> Ratio:
    """Ours beside theirs, after both answered the same."""
    bound, given = ours(package, provider, batch)
    call = theirs(checkpoint, given, provider, compiled=batch > 1)
    bound.run()
    (answer,) = bound.outputs().values()
    np.testing.assert_allclose(answer, call().float().cpu().numpy(), atol=TOLERANCE)
    return paired(call, bound.run, pairs=pairs, warmup=20)


def main() -> None:
    """Measure batch 1 and batch 32."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a text classifier of Hugging Face")
    parser.add_argument("package", type=Path, help="what was exported from it")
    parser.add_argument("--provider", type=Provider, default=Provider.CUDA)
    parser.add_argument("--pairs", type=int, default=1000)
    asked = parser.parse_args()
    package = ModelPackage.open(asked.package)
    for batch in (1, 32):
        found = compared(asked.checkpoint, package, asked.provider, batch, asked.pairs)
        low, high = found.interval_95
        print(
            f"batch {batch}: torch {found.reference_ms:.3f} ms, ours {found.candidate_ms:.3f} ms "
            f"({batch / found.candidate_ms * 1000:,.0f} samples/s), ours over torch "
            f"{found.ratio:.3f} (95 % {low:.3f} to {high:.3f})"
        )


if __name__ == "__main__":
    main()
