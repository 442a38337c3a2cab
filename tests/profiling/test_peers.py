"""What peers do in their processes, called here."""

from pathlib import Path

import numpy as np

from toolkit.npz import read_npz
from toolkit.profiling.peers import Made


def test_an_output_may_have_the_name_of_an_option_of_numpy(tmp_path: Path) -> None:
    made = Made(run=lambda: None, outputs=lambda: {"file": np.ones(2, np.float32)})
    made.save(str(tmp_path / "0.npz"))
    assert read_npz(tmp_path / "0.npz")["file"].tolist() == [1, 1]
