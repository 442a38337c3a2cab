"""The package that is measured when none is given: trained, exported and quantized here."""

import subprocess
import sys
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "models" / "sentiment_lstm"


def sentiment_lstm(folder: Path, *, epochs: int = 3) -> Path:
    """Path of a new sentiment_lstm package with the variants fp32 and, where it passes, int8.

    Args:
        folder: An empty directory.
        epochs: Few: accuracy is not what is measured here.
    """
    run, package = folder / "run", folder / "sentiment_lstm.ortpackage"
    _toolkit("train", str(RECIPE / "recipe.py"), "-o", str(run), "--set", f"max_epochs={epochs}")
    _toolkit("export", str(run), "-o", str(package))
    data = ["--data", str(RECIPE / "movie_reviews.csv.gz"), "--where", "split=validation"]
    _toolkit("quantize", str(package), *data, "--max-drop", "0.01", missed_limit=True)
    return package


def _toolkit(*arguments: str, missed_limit: bool = False) -> None:
    command = [sys.executable, "-m", "toolkit", *arguments, "-q"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode and not (missed_limit and done.returncode == 5):
        raise SystemExit(f"toolkit {arguments[0]} ended with exit code {done.returncode}")
