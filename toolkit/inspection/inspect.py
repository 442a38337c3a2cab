"""One view of a package, of each of its components, or of a bare `.onnx` file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import StoppedError, ToolkitError
from toolkit.inspection.coverage import Prediction, predict
from toolkit.inspection.graph import GraphFacts, read_graph
from toolkit.package import ModelPackage, Variant, is_bare, refuse_component
from toolkit.package.tuned import TUNED, machine_class
from toolkit.runtime.dimensions import check_names, check_sizes
from toolkit.runtime.fresh import call_fresh
from toolkit.runtime.providers import Provider
from toolkit.tensors import TensorSpec

PROBE = "toolkit.runtime.probe"


@dataclass(frozen=True, kw_only=True)
class ProviderShare:
    """How much of the graph an execution provider of this machine takes, as a session showed.

    Attributes:
        placed: Share of the nodes, 0 to 1; None when no session opened.
        nodes: Nodes by ONNX Runtime's provider name, after its first optimizations.
        why: Why no session opened, or why no node is on the provider.
    """

    placed: float | None
    nodes: Mapping[str, int]
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class PackageView:
    """What a package adds to its graph.

    Attributes:
        components: Every component.
        variants: Those of the component that was read, the preferred one first: name, precision,
            method, parent, size_bytes, parity, the session options that are in force here, and
            what was tuned for which machines.
        task: What the model is for.
        source: Where it came from.
        history: The steps that added variants.
        metrics: The source's own metrics.
    """

    components: tuple[str, ...]
    variants: tuple[dict[str, Any], ...]
    task: dict[str, Any]
    source: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    metrics: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is in a model.

    Attributes:
        name: The package's or file's name.
        graph: Inputs, operators, parameters, sizes.
        component: The component that was read; empty for a bare file.
        variant: The variant that was read; empty for a bare file.
        providers: Share placed by provider, for those that are built in here.
        predictions: What each provider would take, by rules and without the provider.
        package: None for a bare file.
        others: The other components that were read.
        fix_shapes: Sizes of symbolic dimensions, by name, at which it was placed and predicted.
    """

    name: str
    graph: GraphFacts
    component: str = ""
    variant: str = ""
    providers: Mapping[str, ProviderShare] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()
    package: PackageView | None = None
    others: tuple["Inspection", ...] = ()
    fix_shapes: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_one_of_several(self) -> bool:
        """Whether it is of a package with several components."""
        return self.package is not None and len(self.package.components) > 1

    @property
    def components(self) -> tuple["Inspection", ...]:
        """Every component that was read, this one first."""
        return (self, *self.others)

    @property
    def size_bytes(self) -> int:
        """Size of the model file and its external data."""
        return sum(self.graph.files.values())

    @property
    def parameters(self) -> int:
        """Elements of all initializers and Constant tensors."""
        return sum(self.graph.parameters.values())

    @property
    def dimensions(self) -> dict[str, tuple[str, ...]]:
        """Where each symbolic dimension stands, as `input:axis`; "?" holds those without a name."""
        places: dict[str, tuple[str, ...]] = {}
        for spec in self.graph.inputs:
            for axis, size in enumerate(spec.shape):
                if isinstance(size, str):
                    places[size] = (*places.get(size, ()), f"{spec.name}:{axis}")
        return places

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`: this component's, and all of them where there are several."""
        document = {
            "name": self.name,
            **self._part(),
            "package": None if self.package is None else asdict(self.package),
        }
        if self.is_one_of_several:
            document["component"] = self.component
            document["components"] = [part.as_component() for part in self.components]
        return document

    def as_component(self) -> dict[str, Any]:
        """Its entry among the components of `--json`."""
        variants = () if self.package is None else self.package.variants
        return {"component": self.component, **self._part(), "variants": list(variants)}

    def _part(self) -> dict[str, Any]:
        graph = self.graph
        return {
            "variant": self.variant,
            "inputs": [_tensor(spec) for spec in graph.inputs],
            "outputs": [_tensor(spec) for spec in graph.outputs],
            "dimensions": self.dimensions,
            "fix_shapes": dict(self.fix_shapes),
            "opset": graph.opsets.get(""),
            "opsets": {domain or "ai.onnx": version for domain, version in graph.opsets.items()},
            "ir_version": graph.ir_version,
            "producer": graph.producer,
            "parameters": self.parameters,
            "parameters_by_dtype": graph.parameters,
            "size_bytes": self.size_bytes,
            "files": graph.files,
            "missing_files": graph.missing_files,
            "operators": graph.operators,
            "providers": self._providers(),
        }

    def _providers(self) -> dict[str, dict[str, Any]]:
        """What was placed here, and what is predicted, by provider."""
        absent = ProviderShare(placed=None, nodes={}, why="not built in here")
        names = dict.fromkeys((*self.providers, *(found.provider for found in self.predictions)))
        return {
            name: {
                **asdict(self.providers.get(name, absent)),
                "predictions": [p.as_json() for p in self.predictions if p.provider == name],
            }
            for name in names
        }


def inspect_model(
    source: str | Path,
    *,
    component: str | None = None,
    variant: str | None = None,
    fix_shapes: Mapping[str, int] | None = None,
) -> Inspection:
    """What is in a package or a bare `.onnx` file, and what each provider takes or would take.

    `providers` are the shares of sessions that were opened here; `predictions` come from rules.

    Args:
        source: A model package, or an `.onnx` file.
        component: Read this component only; all when not given.
        variant: The package's variant, see `ModelPackage.variant_of_each`; the preferred one when
            not given.
        fix_shapes: Sizes of symbolic dimensions, by name, at which to place and to predict.

    Raises:
        InputError: The source is missing or damaged, or has no such component, variant or
            dimension.
        SetupError: onnx is not installed.
    """
    path = Path(source)
    if is_bare(path, variant):
        refuse_component(path, component)
        bare = Inspection(name=path.name, graph=read_graph(path))
        sizes = _checked([bare], fix_shapes)
        return _with_providers(bare, path, {}, sizes)
    package = ModelPackage.open(path, component)
    chosen = (
        {package.component_name: package.variant(variant)}
        if component is not None
        else package.variant_of_each(variant)
    )
    models = [package.focused(name).verified(found) for name, found in chosen.items()]
    parts = [
        _component(package.focused(name), found, model)
        for (name, found), model in zip(chosen.items(), models, strict=True)
    ]
    sizes = _checked(parts, fix_shapes)
    first, *others = (
        _with_providers(part, model, found.session_options, sizes)
        for part, model, found in zip(parts, models, chosen.values(), strict=True)
    )
    return replace(first, others=tuple(others))


def _checked(
    parts: Sequence[Inspection], fix_shapes: Mapping[str, int] | None
) -> Mapping[str, int]:
    sizes = fix_shapes or {}
    check_sizes(sizes)
    check_names(sizes, [spec for part in parts for spec in part.graph.inputs], parts[0].name)
    return sizes


def _component(package: ModelPackage, chosen: Variant, model: Path) -> Inspection:
    return Inspection(
        name=package.path.name,
        component=package.component_name,
        variant=chosen.name,
        graph=read_graph(model),
        package=_package_view(package),
    )


def _with_providers(
    part: Inspection, model: Path, config: Mapping[str, str], sizes: Mapping[str, int]
) -> Inspection:
    own = {name: size for name, size in sizes.items() if name in part.dimensions}
    shares = provider_shares(model, config, own)
    return replace(part, providers=shares, predictions=predict(model, own), fix_shapes=own)


def provider_shares(
    model: Path, config: Mapping[str, str], fix_shapes: Mapping[str, int]
) -> dict[str, ProviderShare]:
    """Share of the graph placed on each provider that is built in here, each in a fresh process.

    Args:
        model: The `.onnx` file.
        config: The variant's session configuration.
        fix_shapes: Sizes of symbolic dimensions, by name.

    Returns:
        Empty when onnxruntime is not installed.
    """
    try:
        cpu = _probe(model, config, fix_shapes, Provider.CPU)
    except StoppedError:
        raise
    except ToolkitError as error:
        return {str(Provider.CPU): ProviderShare(placed=None, nodes={}, why=_line(error.problem))}
    shares: dict[str, ProviderShare] = {}
    for provider in Provider:
        if provider.ort_name not in cpu["built_in"]:
            continue
        try:
            found = cpu if provider is Provider.CPU else _probe(model, config, fix_shapes, provider)
        except StoppedError:
            raise
        except ToolkitError as error:
            shares[provider] = ProviderShare(placed=None, nodes={}, why=_line(error.problem))
            continue
        shares[provider] = _share(provider, found)
    return shares


def _share(provider: Provider, found: Mapping[str, Any]) -> ProviderShare:
    nodes: dict[str, int] = found["placement"]
    total = sum(nodes.values())
    placed = nodes.get(provider.ort_name, 0) / total if total else None
    return ProviderShare(placed=placed, nodes=nodes, why=_line(found["why"]))


def _line(problem: str) -> str:
    """An error's own sentence, without the log of the process that it ended in."""
    return next((line.strip() for line in problem.splitlines() if line.strip()), "")


def _probe(
    model: Path, config: Mapping[str, str], fix_shapes: Mapping[str, int], provider: Provider
) -> dict[str, Any]:
    request = {
        "provider": str(provider),
        "model": str(model),
        "config": dict(config),
        "fix_shapes": dict(fix_shapes),
    }
    return call_fresh(PROBE, request, doing=f"opening {model.name} on {provider}")


def _package_view(package: ModelPackage) -> PackageView:
    contents = package.contents
    return PackageView(
        components=package.component_names,
        variants=tuple(
            {
                "name": variant.name,
                "precision": variant.contents.precision,
                "method": variant.contents.method,
                "parent": variant.contents.parent,
                "size_bytes": variant.contents.size_bytes,
                "parity": variant.contents.parity,
                "session_options": variant.session_options,
                "tuned": _tuned(variant),
            }
            for variant in package.variants
        ),
        task=msgspec.to_builtins(contents.task),
        source=msgspec.to_builtins(contents.source),
        history=tuple(msgspec.to_builtins(step) for step in contents.history),
        metrics=contents.metrics,
    )


def _tuned(variant: Variant) -> dict[str, Any] | None:
    """What tuning wrote into a variant, without what it measured; None where it wrote nothing."""
    tuned = variant.contents.details.get(TUNED)
    if not tuned:
        return None
    kept = ("session_options", "batch", "sessions", "session_threads", "provider", "date")
    found = {key: tuned[key] for key in kept if tuned.get(key) is not None}
    return {**found, "machine": tuned["machine"], "is_here": tuned["machine"] == machine_class()}


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}
