"""Signing a folder with an elliptic-curve key, and checking that it is as it was signed.

The signature is the standard one of OpenSSF Model Signing 1.0: an in-toto statement with the
SHA-256 of every file, in a Sigstore bundle. Nothing goes to the network.
"""

import base64
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import CheckFailedError, InputError, SetupError
from toolkit.package.integrity import file_hashes, file_sha256

SIGNATURE = "model.sig"
"""The name that the standard proposes; it lies in the folder and covers every other file."""

NEW_KEY = "openssl ecparam -name prime256v1 -genkey -noout -out private.pem"
PUBLIC_KEY = "openssl ec -in private.pem -pubout -out public.pem"

_KEYS = "an elliptic-curve key (P-256, P-384 or P-521) as PEM"


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What a signature covers, of a folder that is as it was signed.

    Attributes:
        path: The folder.
        key_sha256: Of the file with the public key.
        files: SHA-256 of every signed file, by its path in the folder.
    """

    path: Path
    key_sha256: str
    files: Mapping[str, str]

    def as_json(self) -> Mapping[str, Any]:
        """The document of `--json`, without the schema version."""
        return {
            "path": str(self.path),
            "verified": True,
            "signature": SIGNATURE,
            "key_sha256": self.key_sha256,
            "files": [{"path": path, "sha256": digest} for path, digest in self.files.items()],
        }


def signer(key: Path, password: str = "") -> Callable[[Path], None]:
    """What signs a folder: it writes `model.sig` there, over all that lies in it by then.

    Args:
        key: The private key.
        password: What the key is encrypted with; empty for a key that is not.

    Raises:
        InputError: The key cannot be read, or is of another kind.
        SetupError: The extra `bundle` is not installed.
    """
    with _model_signing():
        from model_signing import signing
    with _key_errors(key, NEW_KEY):
        # 1.1.1 hands the password on to `cryptography` as it is, which takes bytes alone.
        secret: Any = password.encode() or None
        config = signing.Config().use_elliptic_key_signer(private_key=key, password=secret)
    config.set_hashing_config(_everything())

    def sign(folder: Path) -> None:
        config.sign(folder, folder / SIGNATURE)

    return sign


def verify(folder: str | Path, *, key: str | Path) -> VerifyReport:
    """Check that a folder holds what was signed with a key, all of it and nothing else.

    Args:
        folder: A bundle, or another folder with a `model.sig`.
        key: The public key (PEM) of whoever signed it.

    Raises:
        InputError: The folder has no signature, or the key cannot be read.
        SetupError: The extra `bundle` is not installed.
        CheckFailedError: A file was changed, added or removed, or another key signed.
    """
    place, public = Path(folder), Path(key)
    file = place / SIGNATURE
    with _model_signing():
        from model_signing import verifying
    with _key_errors(public, PUBLIC_KEY):
        config = verifying.Config().use_elliptic_key_verifier(public_key=public)
    if not file.is_file():
        raise InputError(
            f"{place} has no {SIGNATURE}" if place.is_dir() else f"{place} is no folder",
            expected="a folder that was signed",
            fix="toolkit bundle PKG --target TARGET -o DIR --sign private.pem",
        )
    config.set_hashing_config(_everything())
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints remarks on old signatures
            config.verify(place, file)
        files = _signed(file)
    except OSError:
        raise
    except Exception as error:  # whatever a forged signature makes it raise, it did not pass
        raise CheckFailedError(
            f"{place} is not what was signed with the key {public}: {_reason(place, error)}",
            expected="every file as it was signed, and none beside",
            fix="get the folder again from where it was made, and the key from whoever signed it",
        ) from error
    return VerifyReport(path=place, key_sha256=file_sha256(public), files=files)


def _everything() -> Any:
    """Every file by its SHA-256, those of git too, which the library would leave out."""
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[Path(SIGNATURE)], ignore_git_paths=False)


def _reason(folder: Path, error: Exception) -> str:
    """Which files differ where the signature itself is right; else what is wrong with it."""
    if str(error).startswith("Signature mismatch"):
        return ", ".join(_differences(folder)) or str(error)
    if "Key mismatch" in str(error) or type(error).__name__ == "InvalidSignature":
        return f"{SIGNATURE} was made with another key, or changed"
    if "symlink" in str(error):
        return str(error)
    return f"{SIGNATURE} cannot be read as a signature ({type(error).__name__}: {error})"


def _differences(folder: Path) -> Sequence[str]:
    signed, found = _signed(folder / SIGNATURE), file_hashes(folder)
    found.pop(SIGNATURE, None)
    return [
        *(
            f"{name} was changed"
            for name in signed
            if found.get(name, signed[name]) != signed[name]
        ),
        *(f"{name} is missing" for name in signed if name not in found),
        *(f"{name} was added" for name in found if name not in signed),
    ]


def _signed(signature: Path) -> dict[str, str]:
    """The digests in a signature, by path. Only the library can say whether they are true."""
    envelope = json.loads(signature.read_text(encoding="utf-8"))["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    return {one["name"]: one["digest"] for one in statement["predicate"]["resources"]}


@contextlib.contextmanager
def _model_signing() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise SetupError(
            f"signatures need model-signing, which cannot be imported: {error}",
            expected="the extra `bundle`",
            fix="pip install onnx-edge-toolkit[bundle]",
        ) from error


@contextlib.contextmanager
def _key_errors(key: Path, command: str) -> Iterator[None]:
    """Name the key in what `cryptography` says of it, which has no common type."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the key {key} cannot be read: {error.strerror}", expected=_KEYS, fix=command
        ) from error
    except Exception as error:
        # A key of another kind has no curve, and one that is encrypted is a TypeError.
        told = "it has no curve" if isinstance(error, AttributeError) else str(error)
        raise InputError(
            f"the key {key} cannot be used: {told}",
            expected=f"{_KEYS}; of an encrypted one the password in TOOLKIT_SIGN_PASSWORD",
            fix=command,
        ) from error
