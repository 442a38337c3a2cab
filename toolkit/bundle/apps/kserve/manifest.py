"""Prints the InferenceService with the address that `models/` was copied to.

python manifest.py --storage-uri s3://BUCKET/FOLDER | kubectl apply -f -
"""

import argparse
import os
import re
import sys
from pathlib import Path

MANIFEST = Path(__file__).parent / "inferenceservice.yaml"
UNSET = "unset://run-manifest.py"
# Those that KServe's storage initializer takes for a folder (0.21).
SCHEMES = ("s3", "gs", "pvc", "hdfs", "webhdfs", "abfs", "https", "http", "hf", "oci")
_URI = re.compile(rf"(?:{'|'.join(SCHEMES)})://[^\s\"'#{{}}]+")


def rendered(storage_uri: str) -> str:
    """The manifest.

    Raises:
        ValueError: The address is none that KServe takes.
    """
    if not _URI.fullmatch(storage_uri):
        given = repr(storage_uri) if storage_uri else "nothing"
        raise ValueError(
            f"the storage URI is {given}, expected where the content of models/ was copied to, as "
            f"s3://BUCKET/FOLDER or pvc://CLAIM/FOLDER; schemes: {', '.join(SCHEMES)}"
        )
    lines = MANIFEST.read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.lstrip().startswith("#"))
    if text.count(UNSET) != 1:
        raise ValueError(f"{MANIFEST.name} has {text.count(UNSET)} times {UNSET}, expected once")
    return text.replace(UNSET, storage_uri)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the InferenceService.")
    parser.add_argument("--storage-uri", default=os.environ.get("STORAGE_URI", ""))
    try:
        sys.stdout.write(rendered(parser.parse_args().storage_uri))
    except ValueError as error:
        sys.exit(f"error: {error}")
