"""Proves the model repository: here with ONNX Runtime, or on a Triton server that runs.

python self_test.py
python self_test.py --url http://127.0.0.1:8000
"""

import sys

import proof

if __name__ == "__main__":
    sys.exit(proof.main())
