"""Proves the model repository and the manifest: here, or on a service that runs.

python self_test.py
python self_test.py --url http://ADDRESS
"""

import sys
from collections.abc import Iterator

import manifest
import proof
from client import NAME


def problems() -> Iterator[str]:
    """What is wrong with the manifest."""
    text = manifest.rendered("s3://bucket/folder")
    for line in (
        f"  name: {NAME}",
        f"          path: /v2/models/{NAME}/ready",
        "      protocolVersion: v2",
        "      storageUri: s3://bucket/folder",
    ):
        if f"\n{line}\n" not in text:
            yield f"inferenceservice.yaml lacks the line {line.strip()!r}"
    for wrong in ("", manifest.UNSET, "/mnt/models"):
        try:
            manifest.rendered(wrong)
        except ValueError:
            continue
        yield f"the manifest takes {wrong!r} for a storage URI"


if __name__ == "__main__":
    sys.exit(proof.main(list(problems())))
