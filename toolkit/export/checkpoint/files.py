"""The files of a Hugging Face checkpoint, looked at before anything is loaded. Torch-free."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from toolkit.errors import InputError
from toolkit.package.integrity import file_sha256
from toolkit.tasks import TaskName

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
PICKLE_INDEX = "pytorch_model.bin.index.json"
_HEADER_LIMIT = 100_000_000
"""Bytes that a safetensors header may have, by the format's own reader."""
_POINTER = b"version https://git-lfs.github.com/spec/"
"""How every pointer begins, by the specification of Git LFS."""

Pooling = Literal["mean", "cls", "pooler", "none"]


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """How a checkpoint is read.

    Attributes:
        task: What the model is for; read from the configuration when not given.
        trust_pickle: Load weights from a `.bin` file, which can run code of whoever wrote it.
        pooling: For feature extraction: how token states become one embedding; as the checkpoint's
            sentence-transformers files say when not given, and "mean" without those.
        max_length: Tokens kept of a text; the model's own limit when not given.
    """

    task: TaskName | None = None
    trust_pickle: bool = False
    pooling: Pooling | None = None
    max_length: int | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointFiles:
    """A checkpoint whose files are all there.

    Attributes:
        path: The directory.
        config: The configuration; empty for a GGUF file, which holds its own.
        kind: How the weights are stored.
        weights: The files that hold them.
    """

    path: Path
    config: Mapping[str, Any] = field(repr=False)
    kind: Literal["safetensors", "gguf", "pickle"]
    weights: tuple[Path, ...]

    @property
    def sha256(self) -> str:
        """Digest of the weights: of the file, or of the files' digests."""
        digests = [file_sha256(file) for file in self.weights]
        if len(digests) == 1:
            return digests[0]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def checkpoint_at(path: Path) -> bool:
    """Whether the path looks like a checkpoint: a directory with a configuration, or GGUF."""
    if path.suffix.lower() == ".gguf":
        return True
    return path.is_dir() and ((path / CONFIG).is_file() or bool([*path.glob("*.gguf")]))


def read_files(path: Path, *, trust_pickle: bool) -> CheckpointFiles:
    """Look at every file that loading will need.

    Raises:
        InputError: A file is missing, damaged, or may not be loaded; it is named.
    """
    directory = path.parent if path.suffix.lower() == ".gguf" else path
    if not path.exists():
        raise InputError(f"{path} does not exist", expected="a checkpoint directory")
    config = _config(directory / CONFIG) if (directory / CONFIG).is_file() else {}
    if "auto_map" in config and not config.get("model_type"):
        raise InputError(
            f"{directory / CONFIG} asks for model code of its own (auto_map), which is not run",
            expected="an architecture that transformers has",
        )
    gguf = [path] if path.is_file() else sorted(directory.glob("*.gguf"))
    if (directory / WEIGHTS_INDEX).is_file() and path.is_dir():
        return _found(directory, config, "safetensors", _shards(directory / WEIGHTS_INDEX))
    if (directory / WEIGHTS).is_file() and path.is_dir():
        return _found(directory, config, "safetensors", (directory / WEIGHTS,))
    if gguf:
        if len(gguf) > 1:
            raise InputError(
                f"{directory} holds {len(gguf)} GGUF files: {', '.join(f.name for f in gguf)}",
                expected="the path of one of them",
                fix=f"toolkit export {gguf[0]} -o NAME.ortpackage",
            )
        refuse_pointer(gguf[0])
        return CheckpointFiles(path=directory, config=config, kind="gguf", weights=(gguf[0],))
    pickled = _pickled(directory)
    if not pickled:
        raise InputError(
            f"{directory} has a configuration but no weights",
            expected=f"{WEIGHTS}, or {WEIGHTS_INDEX} with its shards, or a .gguf file",
        )
    if not trust_pickle:
        raise InputError(
            f"the weights are in {pickled[0]}, a pickle, which can run code of whoever wrote it",
            expected=WEIGHTS,
            fix="--trust-pickle, if you know where the file is from",
        )
    for file in pickled:
        refuse_pointer(file)
    return CheckpointFiles(path=directory, config=config, kind="pickle", weights=pickled)


def refuse_pointer(file: Path) -> None:
    """Refuse what Git leaves in place of a large file.

    Raises:
        InputError: The file is a pointer of Git LFS.
    """
    if not file.is_file():
        return
    with file.open("rb") as stream:
        begin = stream.read(len(_POINTER))
    if begin == _POINTER:
        raise InputError(
            f"{file} is a Git LFS pointer: the file itself was not downloaded",
            expected="the file that it points to",
            fix=f"git -C {file.parent} lfs pull",
        )


def _config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{file} holds {type(config).__name__}", expected="an object")
    return config


def _found(
    directory: Path,
    config: Mapping[str, Any],
    kind: Literal["safetensors"],
    weights: tuple[Path, ...],
) -> CheckpointFiles:
    for file in weights:
        refuse_pointer(file)
        _check_safetensors(file)
    return CheckpointFiles(path=directory, config=config, kind=kind, weights=weights)


def _shards(index: Path) -> tuple[Path, ...]:
    names = _config(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f"{index} has no weight_map", expected="{weight: file} under weight_map")
    shards = tuple(index.parent / name for name in sorted(set(names.values())))
    missing = [shard for shard in shards if not shard.is_file() or shard.parent != index.parent]
    if missing:
        raise InputError(
            f"{missing[0]} is missing, {len(missing)} of {len(shards)} shards that {index.name} "
            "names",
            expected=", ".join(shard.name for shard in shards),
        )
    return shards


def _pickled(directory: Path) -> tuple[Path, ...]:
    if (directory / PICKLE_INDEX).is_file():
        return _shards(directory / PICKLE_INDEX)
    return (directory / PICKLE,) if (directory / PICKLE).is_file() else ()


def _check_safetensors(file: Path) -> None:
    """Whether the file is as long as its header says."""
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, _HEADER_LIMIT)))
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise InputError(f"{file} is no safetensors file: {error}") from error
    wanted = 8 + length + max(ends, default=0)
    if size != wanted:
        raise InputError(
            f"{file} has {size:,} bytes: it was cut or added to",
            expected=f"{wanted:,} bytes, as its header says",
        )
