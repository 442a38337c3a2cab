"""The bundle's bill of materials: CycloneDX, the same bytes for the same bundle."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

from toolkit import __version__
from toolkit.bundle.job import Job
from toolkit.bundle.origins import APP_LICENSE, origin_of
from toolkit.bundle.report import Runtime
from toolkit.bundle.sizes import kind_of
from toolkit.errors import SetupError
from toolkit.package.integrity import file_hashes

if TYPE_CHECKING:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

SBOM = "sbom.cdx.json"
"""The ending that CycloneDX recommends."""


def write_sbom(job: Job, folder: Path, runtime: Sequence[Runtime]) -> None:
    """Write what a bundle consists of: model, files and libraries, with digests and licenses.

    CycloneDX 1.6 as JSON. It carries no time, and its serial number comes from its content.

    Args:
        job: The bundle that is being made.
        folder: Its folder, with every file that is to be listed.
        runtime: The libraries that the app needs, in the bundle or beside it.

    Raises:
        SetupError: The extra `bundle` is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom, BomMetaData
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
    except ImportError as error:
        raise SetupError(
            "a bundle's bill of materials needs cyclonedx-python-lib, which is not installed",
            expected="the extra `bundle`",
            fix="pip install onnx-edge-toolkit[bundle]",
        ) from error
    bundle = Component(
        type=ComponentType.APPLICATION,
        name=f"{job.model.name}-{job.model.target}",
        version=job.model.version,
        bom_ref="bundle",
    )
    maker = Component(
        type=ComponentType.APPLICATION,
        name="onnx-edge-toolkit",
        version=__version__,
        bom_ref="onnx-edge-toolkit",
        licenses=_licenses(APP_LICENSE),
    )
    metadata = BomMetaData(component=bundle)
    metadata.tools.components.add(maker)
    hashes = file_hashes(folder)
    digest = job.model.files[job.model.graph]
    # A target may have put the graph elsewhere, as Triton wants it.
    graph = next(name for name, found in hashes.items() if found == digest)
    parts = [
        _model(job, graph, digest),
        *(_file(name, found) for name, found in hashes.items() if name != graph),
        *(_library(one) for one in runtime),
    ]
    bom = Bom(metadata=metadata, components=parts, serial_number=UUID(int=0))
    bom.register_dependency(bundle, parts)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = uuid5(NAMESPACE_URL, content).urn
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / SBOM).write_text(text + "\n", encoding="utf-8")


def _model(job: Job, graph: str, digest: str) -> "Component":
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    source, made = job.package.contents.source, job.variant.contents
    told = {
        "file": graph,
        "task": job.model.task.name,
        "variant": job.model.variant,
        "precision": job.model.precision,
        "method": made.method,
        "source": f"{source.kind} {source.name}",
        "source-sha256": source.sha256,
        "exporter": source.exporter,
        **{f"made-with:{name}": version for name, version in source.versions.items()},
    }
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=job.model.name,
        version=job.model.version,
        bom_ref="model",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        properties=_properties(told),
    )


def _file(name: str, digest: str) -> "Component":
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    kind = kind_of(Path(name))
    origin = origin_of(name) if kind == "app" else None
    return Component(
        type=ComponentType.FILE,
        name=name,
        bom_ref=f"file:{name}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        licenses=() if origin is None else _licenses(origin.license),
        copyright=None if origin is None else origin.owner,
        properties=_properties({"part": kind}),
    )


def _library(one: Runtime) -> "Component":
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        type=ComponentType.LIBRARY,
        name=one.name,
        version=one.version,
        bom_ref=one.purl,
        purl=PackageURL.from_string(one.purl),
        licenses=_licenses(one.license),
        properties=_properties({"in-bundle": "true" if one.included else "false"}),
    )


def _licenses(expression: str) -> "Sequence[License]":
    """An SPDX identifier or expression, as CycloneDX writes each."""
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_from_string(expression)]


def _properties(values: dict[str, str]) -> "list[Property]":
    from cyclonedx.model import Property

    return [
        Property(name=f"toolkit:{name}", value=value) for name, value in values.items() if value
    ]
