"""What a target is told of the package, and what a target is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.bundle.document import AppModel
from toolkit.bundle.report import Runtime, SelfTestReport
from toolkit.package import ModelPackage, Variant
from toolkit.progress import Progress, silent

ITEM_TASKS = frozenset(
    {"text-classification", "feature-extraction", "tabular-classification", "tabular-regression"}
)
"""Tasks whose items every app prepares by itself."""

TENSOR_TASKS = frozenset({"image-classification", "tensors"})
"""Tasks whose apps take arrays: pixels that have the graph's size already, or plain tensors."""


@dataclass(frozen=True, kw_only=True)
class BundleOptions:
    """What the user may ask of a bundle.

    Attributes:
        fix_shapes: Sizes of symbolic dimensions by name.
        max_size_bytes: What the bundle may have at most; None for any size.
        architecture: Processor of the device, for targets that run native code: "x86_64" or
            "arm64"; empty for this machine's.
        runtime: A file or folder that holds the target's runtime: for c a shared library or its
            wheel, for python and docker a folder of wheels, for web and node a `node_modules`, for
            android an .aar, for ios an .xcframework; None to look on this machine.
        sysroot: A root file system of the device's architecture, for qemu; None for the
            distribution's.
        self_test: Whether to run the bundle's self-test on its real runtime before it is kept.
        trim: Texts, one a line or as .csv or .jsonl, whose tokens alone are kept in the vocabulary;
            None keeps all.
        sign: A private key (PEM) to sign the bundle with.
        sign_password: What that key is encrypted with; empty for a key that is not.
        timeout_s: How long the self-test may take.
    """

    fix_shapes: Mapping[str, int] = field(default_factory=dict)
    max_size_bytes: int | None = None
    architecture: str = ""
    runtime: Path | None = None
    sysroot: Path | None = None
    self_test: bool = True
    trim: Path | None = None
    sign: Path | None = None
    sign_password: str = ""
    timeout_s: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One bundle that is being made.

    Attributes:
        package: Where the model comes from.
        variant: The variant.
        model: What the app is told, as written to `model/model.json`.
        options: What the user asked for.
        progress: Told of each thing that begins.
        remarks: What a target found while it wrote, for the report's notes.
    """

    package: ModelPackage
    variant: Variant
    model: AppModel
    options: BundleOptions
    progress: Progress = silent
    remarks: list[str] = field(default_factory=list)


def _any_machine(_options: BundleOptions) -> None:
    return None


def _anything(_job: Job) -> None:
    return None


def _no_notes(_job: Job) -> Sequence[str]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """One kind of bundle.

    Attributes:
        name: What `--target` calls it.
        about: What it is, for --help and the README's first line.
        write: Puts the app beside `model/` in the folder it is given, and says which runtime the
            app needs.
        self_test: Runs the app's self-test in the folder, on its real runtime.
        command: The self-test's command, as the README says it.
        setup: Raises SetupError where this machine lacks what making or testing the bundle needs.
            Called before anything is written.
        check: Raises InputError where the target cannot hold the model, once `model/` is complete
            and before the app is written.
        tasks: Tasks whose app exists.
        reads: The options among `architecture`, `runtime` and `sysroot` that it reads; others are
            refused.
        reads_for_another: Those that it reads only where `architecture` is not this machine's.
        needs_fixed_shapes: Whether the device takes no symbolic dimensions.
        largest_bytes: What the target can load at most.
        over_the_wire: Whether a browser is sent the files.
        float_only: Names of files of the runtime that a bundle of integers leaves out.
        notes: What could not be checked here, and the like.
    """

    name: str
    about: str
    write: Callable[[Job, Path], Sequence[Runtime]]
    self_test: Callable[[Job, Path], SelfTestReport]
    command: str
    setup: Callable[[BundleOptions], None] = _any_machine
    check: Callable[[Job], None] = _anything
    tasks: frozenset[str] = ITEM_TASKS | TENSOR_TASKS
    reads: frozenset[str] = frozenset()
    reads_for_another: frozenset[str] = frozenset()
    needs_fixed_shapes: bool = False
    largest_bytes: int | None = None
    over_the_wire: bool = False
    float_only: frozenset[str] = frozenset()
    notes: Callable[[Job], Sequence[str]] = _no_notes
