"""Building a bundle's C program and running it here, for this processor or, under qemu, another."""

import platform
import re
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from toolkit.bundle.job import BundleOptions
from toolkit.errors import CheckFailedError, InputError, SetupError

_LIBRARY = re.compile(r"(.*/)?libonnxruntime\.so(\.[0-9.]+)?")
_VERSION = re.compile(rb"\0VERS_([0-9]+\.[0-9]+\.[0-9]+)\0")
"""The version of the library's symbols, which is its release."""

_BUILD_S = 600.0
_SHOWN = 2000


@dataclass(frozen=True, kw_only=True)
class Processor:
    """What a processor is called by everyone.

    Attributes:
        name: As `--arch` has it.
        triple: Debian's name of the cross compiler and its libraries.
        qemu: qemu's.
        elf: `e_machine` in an ELF header: System V ABI, supplements of the two processors.
        wheel: The platform tag of ONNX Runtime's wheel.
        packages: Debian packages that build for it and run it on another processor.
    """

    name: str
    triple: str
    qemu: str
    elf: int
    wheel: str
    packages: str


_PROCESSORS = {
    "x86_64": Processor(
        name="x86_64",
        triple="x86_64-linux-gnu",
        qemu="qemu-x86_64",
        elf=62,
        wheel="manylinux_2_28_x86_64",
        packages="gcc-x86-64-linux-gnu libc6-dev-amd64-cross libstdc++6-amd64-cross",
    ),
    "arm64": Processor(
        name="arm64",
        triple="aarch64-linux-gnu",
        qemu="qemu-aarch64",
        elf=183,
        wheel="manylinux_2_28_aarch64",
        packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross",
    ),
}


def _here() -> str:
    machine = platform.machine()
    return {"aarch64": "arm64", "AMD64": "x86_64"}.get(machine, machine)


def processor(options: BundleOptions) -> Processor | None:
    """The processor that is built for; None for this machine's own."""
    asked = options.architecture
    return None if asked in {"", _here()} else _PROCESSORS[asked]


def runtime_library(options: BundleOptions, scratch: Path) -> Path | None:
    """ONNX Runtime's shared library for the processor; None where none is at hand.

    Args:
        options: What the user asked for; `runtime` is the library, or a wheel that holds it.
        scratch: Where it is unpacked from a wheel.

    Raises:
        InputError: `runtime` is neither, or is for another processor.
    """
    wanted = processor(options)
    if options.runtime is None:
        return None if wanted is not None else _installed()
    library = _given(options.runtime, scratch)
    head = library.read_bytes()[:20]
    machine = wanted or _PROCESSORS.get(_here())
    if head[:4] != b"\x7fELF":
        raise InputError(
            f"{options.runtime} is no shared library", expected="libonnxruntime.so, or its wheel"
        )
    if machine is not None and int.from_bytes(head[18:20], "little") != machine.elf:
        raise InputError(
            f"{options.runtime} is for another processor than {machine.name}",
            expected=f"a library for {machine.name}",
            fix=_download(machine),
        )
    return library


def release_of(library: Path) -> str:
    """The release that an ONNX Runtime library is of.

    Raises:
        InputError: It is another library.
    """
    found = _VERSION.search(library.read_bytes())
    if found is None:
        raise InputError(f"{library} is not ONNX Runtime", expected="libonnxruntime.so")
    return found[1].decode()


def _installed() -> Path | None:
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return None
    found = sorted((Path(spec.origin).parent / "capi").glob("libonnxruntime.so.*"))
    return found[0] if found else None


def _given(path: Path, scratch: Path) -> Path:
    if not path.is_file():
        raise InputError(f"there is no file {path}", expected="libonnxruntime.so, or its wheel")
    if path.suffix != ".whl":
        return path
    try:
        with zipfile.ZipFile(path) as wheel:
            member = next((one for one in wheel.namelist() if _LIBRARY.fullmatch(one)), None)
            if member is not None:
                target = scratch / "libonnxruntime.so"
                with wheel.open(member) as source, target.open("wb") as copied:
                    shutil.copyfileobj(source, copied)
                return target
    except zipfile.BadZipFile as error:
        raise InputError(f"{path} is no wheel: {error}") from error
    raise InputError(
        f"{path} holds no libonnxruntime.so",
        expected="a wheel of onnxruntime for Linux",
        fix=_download(_PROCESSORS["arm64"]),
    )


def _download(wanted: Processor) -> str:
    return (
        f"pip download --no-deps --only-binary :all: --platform {wanted.wheel} onnxruntime, and "
        "--runtime WHEEL"
    )


def check_machine(options: BundleOptions) -> None:
    """Refuse a machine that could not build and run the program, before anything is made.

    Raises:
        SetupError: ONNX Runtime's library, a compiler, CMake or qemu is missing.
    """
    wanted = processor(options)
    if options.runtime is None and (wanted is not None or _installed() is None):
        raise missing_library(options)
    for program in ("cmake", "make"):
        _need(program, program)
    if wanted is None:
        _need("cc", "gcc libc6-dev")
        return
    _need(f"{wanted.triple}-gcc", wanted.packages)
    if shutil.which(f"{wanted.qemu}-static") is None:
        _need(wanted.qemu, "qemu-user-static")
    _sysroot(wanted, options)


def build(folder: Path, scratch: Path, options: BundleOptions) -> list[str]:
    """Build a bundle's program with CMake, and return the command that runs it here.

    Args:
        folder: The bundle.
        scratch: Where it is built.
        options: What the user asked for.

    Raises:
        SetupError: A compiler, CMake or qemu is missing.
        CheckFailedError: It does not compile.
    """
    wanted = processor(options)
    settings: list[str] = []
    run: list[str] = []
    for program in ("cmake", "make"):
        _need(program, program)
    if wanted is None:
        _need("cc", "gcc libc6-dev")
    else:
        compiler = _need(f"{wanted.triple}-gcc", wanted.packages)
        settings = ["-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_C_COMPILER={compiler}"]
        emulator = shutil.which(f"{wanted.qemu}-static") or _need(wanted.qemu, "qemu-user-static")
        run = [emulator, "-L", str(_root(_sysroot(wanted, options), scratch))]
    target = scratch / "build"
    # The generator is named since $CMAKE_GENERATOR may name one that is not installed.
    configure = ["cmake", "-G", "Unix Makefiles", "-S", str(folder), "-B", str(target), *settings]
    for command in (configure, ["cmake", "--build", str(target)]):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_BUILD_S
        )
        if done.returncode:
            raise CheckFailedError(
                f"the bundle's program does not compile: {' '.join(command[:2])}\n"
                + (done.stdout + done.stderr).strip()[-_SHOWN:],
                expected="a C11 compiler that builds it",
                fix="--no-self-test writes the bundle without building it",
            )
    # Under qemu, threads that wait for each other cost more than they do.
    return [*run, str(target / "app"), *(["--threads", "1"] if run else [])]


def missing_library(options: BundleOptions) -> SetupError:
    """The error of a bundle whose self-test has no ONNX Runtime to run on."""
    wanted = processor(options)
    if wanted is None:
        return SetupError(
            "there is no libonnxruntime.so for the bundle's self-test",
            expected="the onnxruntime wheel, or its library in --runtime",
            fix="pip install onnx-edge-toolkit[cpu], or --no-self-test",
        )
    return SetupError(
        f"there is no libonnxruntime.so for {wanted.name} here, for the bundle's self-test",
        expected=f"the wheel of onnxruntime for {wanted.name}, or its library, in --runtime",
        fix=f"{_download(wanted)}; or --no-self-test",
    )


def _sysroot(wanted: Processor, options: BundleOptions) -> Path:
    place = options.sysroot or Path("/usr") / wanted.triple
    libraries: Sequence[Path] = [
        *place.glob("lib/libstdc++.so.6"),
        *place.glob("**/libstdc++.so.6"),
    ]
    if not libraries:
        raise SetupError(
            f"{place} holds no libstdc++.so.6 of {wanted.name}, which ONNX Runtime needs",
            expected="the C and C++ libraries of that processor",
            fix=f"apt-get install {wanted.packages}, or --sysroot; or --no-self-test",
        )
    return place


def _root(sysroot: Path, scratch: Path) -> Path:
    """The system root with empty lists of processors before this machine's own.

    qemu takes a file from its root where there is one and from the machine otherwise. ONNX Runtime
    1.31 reads the other processor's caches there and crashes; told of none, it asks no further.
    """
    root = scratch / "root"
    root.mkdir()
    for entry in sysroot.iterdir():
        if entry.name not in {"proc", "sys"}:
            (root / entry.name).symlink_to(entry.resolve())
    processors = root / "sys/devices/system/cpu"
    processors.mkdir(parents=True)
    for name in ("possible", "present"):
        (processors / name).touch()
    return root


def _need(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise SetupError(
            f"{program} is not installed, which builds or runs the bundle's self-test",
            expected=f"{program} on PATH",
            fix=f"apt-get install {package}, or --no-self-test",
        )
    return found
