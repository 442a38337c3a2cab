"""What `--compare` takes: a model, a setting of the model that is profiled, or a peer.

    PKG, PKG@VARIANT, FILE.onnx, @VARIANT     another model or variant
    PKG@COMPONENT/VARIANT, @COMPONENT/VARIANT  of a package that has several components
    threads=1                                  the same model with other settings
    peer:onnxruntime, peer:torch,source=RUN    what others use instead

Settings follow after commas: `PKG@int8,threads=1,spinning=off`.
"""

import difflib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.choosing import chosen_variant, options_for
from toolkit.errors import InputError
from toolkit.package import SUFFIX, ModelPackage, Split, Variant, is_bare, refuse_component
from toolkit.package.package import COMPONENT_FILE, MANIFEST
from toolkit.package.tuned import TUNED
from toolkit.profiling.processes import CAN_STOP, Contender
from toolkit.runtime import Provider, SessionOptions
from toolkit.runtime.entries import (
    ARENA_KEY,
    LEVEL_KEY,
    LEVEL_NAMES,
    PATTERN_KEY,
    SPINNING_KEY,
    THREADS_KEY,
)

PEERS = ("onnxruntime", "torch", "optimum")


class SettingError(InputError):
    """What was typed after `--compare` is no contender, whatever files there are."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model with the settings that it is opened with.

    Attributes:
        name: For people; no path.
        file: The `.onnx` file.
        options: Provider, threads and the like.
        config: Session configuration, of the variant and of settings.
        tuned: Names of those entries that were tuned for this class of machine.
        reference: Its own inputs; None for none.
        package: The package's directory; None for a bare file.
        package_sha256: Digest of the package's documents, which name every file's; empty likewise.
        variant: The package's variant, COMPONENT/VARIANT where there are several components; empty
            for a bare file.
        component: Its component; empty for a bare file.
        offline: How a pile of samples is split, where a run is such a pile; see `peers.offline`.
        split: How it is split best here, if that was tuned.
    """

    name: str
    file: Path
    options: SessionOptions
    config: Mapping[str, str]
    tuned: tuple[str, ...] = ()
    reference: Path | None = None
    package: Path | None = None
    package_sha256: str = ""
    variant: str = ""
    component: str = ""
    offline: Mapping[str, int] | None = None
    split: Split | None = None

    @property
    def place(self) -> Path:
        """The package, or the bare file."""
        return (self.package or self.file).resolve()

    @property
    def again(self) -> str:
        """What to compare with to repeat a comparison: no more folders than in `name`."""
        return self.name

    def contender(self, feeds: Path) -> Contender:
        """The model as a contender that is fed a file."""
        # Threads that spin between runs would take time from the others.
        options = self.options if CAN_STOP else replace(self.options, spinning=False)
        return Contender(
            name=self.name,
            factory=f"toolkit.profiling.peers:{'ours' if self.offline is None else 'offline'}",
            arguments={
                **(self.offline or {}),
                "model": str(self.file),
                "options": options_document(options),
                "config": dict(self.config),
                "feeds": str(feeds),
            },
        )


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What others use instead of the toolkit.

    Attributes:
        name: For people.
        factory: A function of `toolkit.profiling.peers`.
        arguments: Its arguments but for the feeds.
        again: What to compare with to repeat a comparison, the folder of a source left out.
        python: Its interpreter; this one when empty.
    """

    name: str
    factory: str
    arguments: Mapping[str, Any]
    again: str
    python: str = ""

    def contender(self, feeds: Path) -> Contender:
        """The peer as a contender that is fed a file."""
        return Contender(
            name=self.name,
            factory=self.factory,
            arguments={**self.arguments, "feeds": str(feeds)},
            python=self.python,
        )


def open_model(
    source: Path,
    *,
    component: str | None = None,
    variant: str | None = None,
    options: SessionOptions | None = None,
) -> Model:
    """A package's variant, or a bare file.

    Args:
        source: A model package, or an `.onnx` file.
        component: The package's component; the first when not given.
        variant: The component's variant, the preferred one when not given; COMPONENT/VARIANT names
            both.
        options: Provider, threads and the like.

    Raises:
        InputError: The source is missing or damaged, or has no such component or variant.
    """
    options = options or SessionOptions()
    _check_source(source)
    if is_bare(source, variant):
        refuse_component(source, component)
        return Model(name=source.name, file=source, options=options, config={})
    if variant is not None and "/" in variant:  # a variant's own name holds none
        named, _, variant = variant.partition("/")
        if component not in (None, named):
            raise InputError(
                f"the variant {named}/{variant} is not of the component {component}",
                expected="a variant of that component",
            )
        component = named
    package = ModelPackage.open(source, component)
    chosen = chosen_variant(package, variant, options)
    options = options_for(chosen, options)
    several = len(package.component_names) > 1
    spelled = f"{package.component_name}/{chosen.name}" if several else chosen.name
    folder = package.asset("reference")
    reference = None if folder is None else folder / "inputs.npz"
    return Model(
        name=f"{source.name}@{spelled}",
        file=package.verified(chosen),
        options=options,
        config=chosen.session_options,
        tuned=_tuned(chosen),
        reference=reference if reference is not None and reference.is_file() else None,
        package=source,
        package_sha256=package_sha256(package),
        variant=spelled,
        component=package.component_name,
        split=chosen.split(options.provider),
    )


def _check_source(source: Path) -> None:
    is_file = source.suffix.lower() == ".onnx"
    if source.is_file() if is_file else source.is_dir():
        return
    folder = source.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    models = [name for name in names if name.endswith((".onnx", SUFFIX))]
    alike = difflib.get_close_matches(source.name, models, n=1)
    fix = f"toolkit profile {folder / alike[0]}" if alike else "toolkit demo   (makes a package)"
    if source.is_file():
        fix = f"toolkit export {source} -o {source.stem}{SUFFIX}"
    raise InputError(
        f"{source} is no model" if source.exists() else f"the model {source} does not exist",
        expected="a model package, a directory that toolkit export writes, or an .onnx file",
        fix=fix,
    )


def package_sha256(package: ModelPackage) -> str:
    """Digest of a package's documents: it changes with every file, and with session options."""
    digest = hashlib.sha256()
    for file in (package.path / MANIFEST, package.component_directory / COMPONENT_FILE):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _tuned(variant: Variant) -> tuple[str, ...]:
    """Names of the session options that were tuned and are in force here."""
    asked = variant.session_options
    tuned = variant.contents.details.get(TUNED, {}).get("session_options", {})
    return tuple(key for key, value in tuned.items() if asked.get(key) == value)


def parse(text: str, subject: Model) -> Model | Peer:
    """A contender from what was typed; see the module.

    Args:
        text: One value of `--compare`.
        subject: The model that is profiled: settings alone change a copy of it.

    Raises:
        InputError: There is no such model, variant, peer or setting.
    """
    head, *parts = text.split(",")
    if "=" in head and not Path(head).exists():
        head, parts = "", [head, *parts]
    settings = _settings(parts, text)
    if head.startswith("peer:"):
        return _peer(head.removeprefix("peer:"), settings, subject, text)
    if head in {"", "@"}:
        model = subject
    elif head.startswith("@"):
        model = open_model(
            subject.package or subject.file,
            component=None if subject.package is None or "/" in head else subject.component,
            variant=head[1:],
            options=subject.options,
        )
    else:
        path, at, variant = head.rpartition("@")
        is_variant = bool(at) and not Path(head).exists()
        other = Path(path if is_variant else head)
        model = open_model(
            other,
            component=None if is_variant and "/" in variant else _same_component(other, subject),
            variant=variant if is_variant else None,
            options=subject.options,
        )
    changed = with_settings(model, settings)
    return replace(changed, name=",".join([model.name, *parts]) if parts else model.name)


def _same_component(source: Path, subject: Model) -> str | None:
    """The subject's component, where another package has one of that name."""
    if source.suffix == ".onnx" or not subject.component:
        return None
    names = ModelPackage.open(source).component_names
    return subject.component if subject.component in names else None


def with_settings(model: Model, settings: Mapping[str, str]) -> Model:
    """The model, opened otherwise.

    Raises:
        InputError: There is no such setting, or it has no such value.
    """
    options, config = model.options, dict(model.config)
    for key, value in settings.items():
        if key == "threads":
            config[THREADS_KEY] = str(_whole(key, value))
            options = replace(options, threads=0)  # so that 0 too goes before the package's
        elif key == "provider":
            if value not in [*Provider]:
                raise SettingError(
                    f"there is no provider {value!r}", expected=f"one of {', '.join(Provider)}"
                )
            if value != options.provider:  # whose options say nothing to another one
                options = replace(options, provider_options={}, require={})
            options = replace(options, provider=Provider(value))
        elif key in _CONFIG:
            name, read = _CONFIG[key]
            config[name] = read(key, value)
        else:
            raise SettingError(
                f"there is no setting {key!r}",
                expected=f"one of threads, provider, {', '.join(_CONFIG)}",
                fix="toolkit profile --help",
            )
    return replace(model, options=options, config=config)


def options_document(options: SessionOptions) -> dict[str, Any]:
    """Session options as JSON values."""
    return {
        **asdict(options),
        "provider": str(options.provider),
        "provider_options": dict(options.provider_options),
    }


def _peer(name: str, settings: dict[str, str], subject: Model, text: str) -> Peer:
    if name not in PEERS:
        raise SettingError(f"there is no peer {name!r}", expected=f"one of {', '.join(PEERS)}")
    parts = [f"{k}={Path(v).name if k == 'source' else v}" for k, v in settings.items()]
    python = settings.pop("python", "")
    if python and not Path(python).is_file():
        raise InputError(f"the interpreter {python} does not exist", expected="a Python program")
    arguments: dict[str, Any] = {}
    known = {"onnxruntime": {"source", "threads", "provider", "spinning"}}
    known |= {"torch": {"source", "threads", "compile"}, "optimum": {"source", "threads"}}
    for key, value in settings.items():
        if key not in known[name]:
            raise SettingError(
                f"peer:{name} has no setting {key!r}",
                expected=f"one of python, {', '.join(sorted(known[name]))}",
            )
        read = {"threads": _whole, "spinning": _switch, "compile": _switch}.get(key)
        arguments[key] = value if read is None else read(key, value)
    if name == "onnxruntime":
        arguments.setdefault("source", str(subject.file))
        arguments.setdefault("threads", subject.options.threads)
        arguments["spinning"] = arguments.get("spinning", True) and CAN_STOP
    if "source" not in arguments:
        raise SettingError(
            f"{text!r} does not say what {name} shall load",
            expected=f"peer:{name},source=FOLDER of a Hugging Face checkpoint"
            + (" or a run" if name == "torch" else ""),
            fix=f"--compare peer:{name},source=FOLDER",
        )
    shown = [f"{k}={v}" for k, v in settings.items() if k != "source"]
    return Peer(
        name=",".join([f"peer:{name}", *shown]),
        factory=f"toolkit.profiling.peers:{name}",
        arguments=arguments,
        again=",".join([f"peer:{name}", *parts]),
        python=python,
    )


def _settings(parts: list[str], text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value) or key in found:
            raise SettingError(
                f"{part!r} in {text!r} is no setting", expected="KEY=VALUE, each key once"
            )
        found[key] = value
    return found


def _whole(key: str, value: str) -> int:
    if not value.isdecimal():
        raise SettingError(f"{key}={value}", expected="a whole number")
    return int(value)


def _switch(key: str, value: str) -> bool:
    if value not in {"on", "off"}:
        raise SettingError(f"{key}={value}", expected="on or off")
    return value == "on"


def _switch_entry(key: str, value: str) -> str:
    return str(int(_switch(key, value)))


def _level(key: str, value: str) -> str:
    if value not in LEVEL_NAMES:
        raise SettingError(f"{key}={value}", expected=f"one of {', '.join(LEVEL_NAMES)}")
    return LEVEL_NAMES[value]


_CONFIG: dict[str, tuple[str, Callable[[str, str], str]]] = {
    "spinning": (SPINNING_KEY, _switch_entry),
    "graph": (LEVEL_KEY, _level),
    "arena": (ARENA_KEY, _switch_entry),
    "memory-pattern": (PATTERN_KEY, _switch_entry),
}
