"""What compiles, in a process of its own: `python -m toolkit.compiling.child`.

QNN (2.7.0) keeps what it learned of the first chip for the rest of a process.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.runtime.fresh import answer
from toolkit.runtime.providers import Provider

if TYPE_CHECKING:
    pass

_INTO = {"ep.context_enable": "1", "ep.context_embed_mode": "1"}
"""Makes ONNX Runtime write what the provider compiled into one file, as the session is opened."""


def compile_once(request: dict[str, Any]) -> dict[str, Any]:
    """Compile a graph for one chip.

    Args:
        request: `model` and `target`, files; `provider`; `provider_options`; `require`.

    Returns:
        `operators`: nodes by ONNX Runtime's provider name and operator type, as compiled.

    Raises:
        SetupError: The provider does not start, or compiles no node.
        CheckFailedError: It compiles less than `require` asks for.
        InputError: The graph cannot be loaded.
    """
    from toolkit.runtime import SessionOptions, open_session

    options: SessionOptions = SessionOptions(
        provider=Provider(request["provider"]),
        provider_options=request["provider_options"],
        require=request["require"],
    )
    config = {**_INTO, "ep.context_file_path": str(request["target"])}
    session = open_session(Path(request["model"]), options, config=config)
    return {"operators": session.placed.operators}


if __name__ == "__main__":
    answer(compile_once)
