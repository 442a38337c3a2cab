"""The C tokenizer of a phone's bundle, compiled for this machine and asked for its tokens."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from toolkit.bundle.document import Text
from toolkit.errors import CheckFailedError, SetupError

_FILES = ("src/characters.c", "src/tokenizer.c", "data/tokenizer.c")
_COMPILED_S = 120.0
_SHOWN = 2000


class _Tokens(ctypes.Structure):
    """`struct tokens` of tokenizer.h."""

    _fields_ = (
        ("ids", ctypes.POINTER(ctypes.c_int32)),
        ("types", ctypes.POINTER(ctypes.c_int32)),
        ("count", ctypes.c_size_t),
    )


class CompiledTokenizer:
    """Token ids of texts, by the very sources that a bundle carries.

    Args:
        sources: The folder with `src/`, `include/` and `data/`.

    Raises:
        SetupError: There is no C compiler.
        CheckFailedError: They do not compile, or not in time.
    """

    def __init__(self, sources: Path) -> None:
        if shutil.which("cc") is None:
            raise SetupError(
                "cc is not installed, with which the self-test builds the bundle's tokenizer",
                expected="a C compiler",
                fix="apt-get install gcc libc6-dev, or --no-self-test",
            )
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "tokenizer.so"
            command = ["cc", "-std=c11", "-O1", "-shared", "-fPIC", "-o", str(library)]
            command += [f"-I{sources / name}" for name in ("src", "include")]
            command += [str(sources / name) for name in _FILES]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False, timeout=_COMPILED_S
                )
            except subprocess.TimeoutExpired as error:
                raise CheckFailedError(
                    f"the bundle's tokenizer was not compiled within {_COMPILED_S:.0f} s",
                    expected="a C11 compiler that builds it by then",
                    fix="--no-self-test writes the bundle without building it",
                ) from error
            if done.returncode:
                raise CheckFailedError(
                    f"the bundle's tokenizer does not compile\n{done.stderr.strip()[-_SHOWN:]}",
                    expected="a C11 compiler that builds it",
                    fix="--no-self-test writes the bundle without building it",
                )
            self._library = ctypes.CDLL(str(library))
        self._data = ctypes.byref(ctypes.c_char.in_dll(self._library, "tokenizer_data"))

    def __call__(self, texts: Sequence[str], text: Text) -> tuple[list[int], list[int]] | None:
        """Ids and types of a text or of a pair; None where the code takes no such text.

        Args:
            texts: One or two.
            text: How many tokens are kept.
        """
        first, second = texts[0].encode(), texts[1].encode() if len(texts) > 1 else None
        made = _Tokens()
        status = self._library.make_tokens(
            self._data,
            ctypes.c_char_p(first),
            ctypes.c_size_t(len(first)),
            ctypes.c_char_p(second),
            ctypes.c_size_t(len(second or b"")),
            ctypes.c_size_t(text.max_length),
            ctypes.byref(made),
        )
        if status != 0:
            return None
        ids, types = made.ids[: made.count], made.types[: made.count]
        self._library.free_tokens(ctypes.byref(made))
        return ids, types
