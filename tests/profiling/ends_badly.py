"""Children for the tests of fresh processes; `python -m tests.profiling.ends_badly`."""

import os
import sys
import warnings
from typing import Any

from toolkit.errors import InputError, SetupError, ToolkitWarning
from toolkit.runtime.fresh import answer


def act(request: dict[str, Any]) -> dict[str, Any]:
    match request["act"]:
        case "crash":
            os.abort()
        case "bug":
            raise KeyError("not ours")
        case "input":
            raise InputError("a problem", expected="a value", fix="a remedy")
        case "setup":
            raise SetupError("nothing here")
        case "banner":
            os.write(1, b"EP Error: falling back\n")
            sys.stdout.write("more of it\n")
        case "warn":
            warnings.warn("running on the CPU", ToolkitWarning, stacklevel=1)
    return {"done": request["act"]}


if __name__ == "__main__":
    answer(act)
