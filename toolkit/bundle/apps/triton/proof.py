"""Proves the model repository: here with ONNX Runtime, or on a Triton server that runs.

python self_test.py
python self_test.py --url http://127.0.0.1:8000
"""

import argparse
from collections.abc import Sequence

import onnxruntime as ort
import reference
import repository
import v2
from app import HERE, Model
from google.protobuf import text_format


def main(found: Sequence[str] = ()) -> int:
    """The exit code: 0 where the repository answers as the machine that made it did.

    Args:
        found: Problems that are known already.
    """
    parser = argparse.ArgumentParser(description="Prove the model repository.")
    parser.add_argument("--url", help="of a server that runs")
    given = parser.parse_args()
    model = Model()
    problems = [*found, *reference.changed_files(model.about, HERE)]
    runtime = f"onnxruntime {ort.__version__}"
    try:
        config = repository.read_config()
        problems += repository.config_problems(config, model.session)
        wrong, largest = repository.answers(config, model)
        if given.url:
            runtime = given.url
            more, there = repository.asked(given.url)
            wrong, largest = [*wrong, *more], max(largest, there)
    except text_format.ParseError as error:
        wrong, largest = [f"config.pbtxt: {error}"], 1e300
    except v2.ServerError as error:  # nothing was compared
        wrong, largest = [str(error)], 0.0
    return reference.end(model.about, [*problems, *wrong], largest, runtime)
