"""`python -m benchmarks.placed_many PROVIDER FOLDER FILE`: shares placed, of many small graphs.

One JSON line a graph: its name, then the share; null where no session opens. A graph that ends the
process keeps the line that was written before it was tried, and the next call goes on behind it.
"""

import json
import sys
from pathlib import Path

from toolkit.errors import SetupError, ToolkitError
from toolkit.runtime import SessionOptions, open_session
from toolkit.runtime.providers import Provider


def main(provider: Provider, folder: Path, results: Path) -> None:
    """Go on where the last call ended."""
    done = set(shares(results)) if results.exists() else set()
    with results.open("a") as lines:
        for model in sorted(folder.glob("*.onnx")):
            if model.stem not in done:
                lines.write(json.dumps([model.stem, None]) + "\n")
                lines.flush()
                lines.write(json.dumps([model.stem, _share(provider, model)]) + "\n")
                lines.flush()


def shares(results: Path) -> dict[str, float | None]:
    """What has been measured: the last line of each graph."""
    return dict(json.loads(line) for line in results.read_text().splitlines())


def _share(provider: Provider, model: Path) -> float | None:
    options = SessionOptions(provider=provider, threads=1)
    try:
        placement = open_session(model, options, explain=False).placement
    except SetupError as error:
        return 0.0 if "runs no node" in error.problem else None
    except ToolkitError:
        return None
    return placement.get(provider.ort_name, 0) / sum(placement.values())


if __name__ == "__main__":
    main(Provider(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
