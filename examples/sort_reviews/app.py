"""Sort reviews from stdin into files by their label: an app that embeds a model package.

    python app.py sentiment.ortpackage FOLDER < reviews.txt

It needs `pip install "onnx-edge-toolkit[cpu]"` and no torch. What the model is unsure of goes to
`unsure.txt` for a person to read.
"""

import sys
from collections import Counter
from pathlib import Path

from toolkit import ToolkitError, load

SURE = 0.8
"""Below this probability a person shall look."""


def main(package: str, folder: str) -> None:
    """Read a review a line, append it to the file of its label, and print how many went where."""
    text = sys.stdin.buffer.read().decode("utf-8")
    reviews = [line.strip() for line in text.split("\n") if line.strip()]
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    for review, result in zip(reviews, load(package).batch(reviews), strict=True):
        name = result["label"] if result["score"] >= SURE else "unsure"
        counts[name] += 1
        with (target / f"{name}.txt").open("a", encoding="utf-8") as file:
            file.write(f"{review}\n")
    for name, count in sorted(counts.items()):
        print(f"{name} {count}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: app.py PACKAGE FOLDER < reviews.txt")
    try:
        main(*sys.argv[1:])
    except ToolkitError as error:
        sys.exit(f"error: {error}")
