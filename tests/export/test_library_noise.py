"""What exporting a checkpoint does not load, and what loggers say again afterwards."""

import logging
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.training.tiny import IMAGE, write
from toolkit.errors import InputError
from toolkit.export.libraries import quiet
from toolkit.export.sources import open_source
from toolkit.library_noise import less_logged
from toolkit.training import load_recipe

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


SILENCED = ("torchao", "torch.utils._pytree")


def test_a_library_call_leaves_the_levels_of_loggers_as_they_were(tmp_path: Path) -> None:
    def levels() -> dict[str, int]:
        return {name: logging.getLogger(name).level for name in SILENCED}

    logging.getLogger("torchao").setLevel(logging.DEBUG)  # whatever the tests before have left
    logging.getLogger("torch.utils._pytree").setLevel(logging.NOTSET)
    before = levels()
    load_recipe(write(tmp_path, IMAGE))
    with pytest.raises(InputError):
        open_source(tmp_path / "nothing", work=tmp_path, checkpoint=None)
    with quiet():
        pass
    assert levels() == before


def test_loggers_are_silent_inside_and_restored_after_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("toolkit.tests.noise")
    with caplog.at_level(logging.INFO, logger.name):
        with suppress(KeyError), less_logged(logger.name):
            logger.warning("not told")
            raise KeyError
        logger.warning("told")
    assert [record.message for record in caplog.records] == ["told"]
