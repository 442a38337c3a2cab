"""Watch bytes from a sensor and say when their kind changes: an app on a Python bundle.

    toolkit bundle bytes.ortpackage --target python -o bundle
    python watch.py bundle < /dev/ttyUSB0                 a stream
    python watch.py bundle captures/                      a folder: each file is one capture
    python watch.py bundle captures/ --follow 2           and what is added, looked for every 2 s

The model takes int32[1, 2048], one number a byte and 256 where there is none, and gives a score for
each kind, as Google's Magika does. It needs onnxruntime and numpy, no torch and no toolkit.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

WINDOW = 2048
HOP = 1024
"""Bytes between the beginnings of two windows."""
NO_BYTE = 256
MEMORY = 0.6
"""Share of the scores before that stays: one odd window changes no answer."""
SURE = 0.6
"""Smoothed score from which a kind counts."""


def stream_windows(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Windows that overlap; the last one may be shorter."""
    kept, start = b"", 0
    while block := stream.read(HOP):
        kept = (kept + block)[-WINDOW:]
        start += len(block)
        yield f"byte {start}", kept


def folder_windows(folder: Path, follow_s: float) -> Iterator[tuple[str, bytes]]:
    """The beginning of each file, in the order of names; of new ones too where asked to follow."""
    seen: set[Path] = set()
    while True:
        for file in sorted(set(folder.iterdir()) - seen):
            seen.add(file)
            if file.is_file() and not file.name.startswith("."):
                with file.open("rb") as content:
                    yield file.name, content.read(WINDOW)
        if not follow_s:
            return
        time.sleep(follow_s)


def tensor(window: bytes) -> NDArray[np.int32]:
    """int32[1, 2048] of at most so many bytes."""
    values = np.full((1, WINDOW), NO_BYTE, np.int32)
    values[0, : len(window)] = np.frombuffer(window, np.uint8)
    return values


class Watch:
    """Smooths scores and tells when the kind changes.

    Args:
        model: The bundle's model.
        labels: Names of the scores; numbers where there are none.
    """

    def __init__(self, model: Any, labels: list[str]) -> None:
        self.model, self.labels = model, labels
        (self.input,) = [one["name"] for one in model.about["inputs"]]
        self.smoothed: NDArray[np.float64] | None = None
        self.kind = ""

    def see(self, window: bytes) -> str:
        """The kind where it has changed; empty otherwise."""
        (scores,) = self.model.run({self.input: tensor(window)}).values()
        shares = np.asarray(scores, np.float64).reshape(-1)
        if shares.min() < 0 or abs(shares.sum() - 1) > 0.01:  # logits
            shares = np.exp(shares - shares.max())
            shares /= shares.sum()
        if self.smoothed is None:
            self.smoothed = shares
        self.smoothed = MEMORY * self.smoothed + (1 - MEMORY) * shares
        best = int(self.smoothed.argmax())
        kind = self.labels[best] if best < len(self.labels) else f"kind {best}"
        if kind == self.kind or self.smoothed[best] < SURE:
            return ""
        self.kind = kind
        return kind


def main() -> None:
    """Print a line for each change."""
    parser = argparse.ArgumentParser(description="Say when the kind of bytes changes.")
    parser.add_argument("bundle", type=Path, help="of toolkit bundle --target python")
    parser.add_argument("folder", type=Path, nargs="?", help="captures; stdin where not given")
    parser.add_argument("--labels", type=Path, help="names of the scores, one a line")
    parser.add_argument("--follow", type=float, default=0.0, metavar="SECONDS")
    given = parser.parse_args()
    if given.folder and not given.folder.is_dir():
        sys.exit(f"error: {given.folder} is no folder; name one with captures, or pipe a stream in")
    if given.labels and not given.labels.is_file():
        sys.exit(f"error: {given.labels} is no file; name one with a label a line")
    sys.path.insert(0, str(given.bundle))
    try:
        model = import_module("app").Model(threads=1)
    except ImportError as error:
        sys.exit(f"error: {given.bundle} is no bundle for Python: {error}")
    shapes = [one["shape"][1:] for one in model.about["inputs"]]
    if shapes != [[WINDOW]]:
        sys.exit(f"error: the model takes {shapes}, expected one input of {WINDOW} bytes a row")
    labels = given.labels.read_text(encoding="utf-8").splitlines() if given.labels else []
    watch = Watch(model, labels)
    windows = (
        folder_windows(given.folder, given.follow)
        if given.folder
        else stream_windows(sys.stdin.buffer)
    )
    for where, window in windows:
        if kind := watch.see(window):
            print(f"{where}: {kind}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
