"""What exporting a checkpoint does not load."""

import subprocess
import sys

import pytest

LOADED = """
import sys
from toolkit.library_noise import without_torchao
without_torchao()
import transformers.modeling_utils
from transformers import BertForSequenceClassification
sys.exit("torchao" in sys.modules)
"""


@pytest.mark.slow
def test_transformers_does_not_import_torchao() -> None:
    assert subprocess.run([sys.executable, "-c", LOADED], check=False, timeout=120).returncode == 0
    forgotten = LOADED.replace("without_torchao()\nimport", "import")
    done = subprocess.run([sys.executable, "-c", forgotten], check=False, timeout=120)
    assert done.returncode == 1  # a release that does not import it needs no workaround
