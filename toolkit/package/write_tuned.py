"""Writing tuned session options into a variant that is there."""

from collections.abc import Mapping
from typing import Any

import msgspec

from toolkit.package.format import ExecutorInfo, VariantMetadata, write_document
from toolkit.package.package import COMPONENT_FILE, ModelPackage
from toolkit.package.tuned import TUNED, untuned


def write_tuned(
    package: ModelPackage,
    variant: str,
    *,
    session_options: Mapping[str, str],
    machine: Mapping[str, Any],
    evidence: Mapping[str, Any],
) -> ModelPackage:
    """Write tuned session options into a variant; its files stay as they are.

    The component document is written under a temporary name and then renamed: an interrupt leaves
    the package as it was. Options that were tuned before give way.

    Args:
        package: The package.
        variant: The variant's name.
        session_options: The tuned ones; the variant keeps what else it asks for.
        machine: The class of the machine that they hold for; see `machine_class`.
        evidence: What was measured.

    Returns:
        The package as it is now.

    Raises:
        InputError: There is no such variant any more.
    """
    package = ModelPackage.open(package.path, package.component_name)
    replace = msgspec.structs.replace
    entry = package.variant(variant).entry
    contents = entry.additional_metadata.toolkit
    asked = untuned(entry.executor_info.ort.session_options, contents.details)
    tuned = {
        "session_options": dict(session_options),
        "replaced": {key: asked[key] for key in session_options if key in asked},
        "machine": dict(machine),
        **evidence,
    }
    executor = replace(entry.executor_info.ort, session_options={**asked, **session_options})
    changed = replace(
        entry,
        executor_info=ExecutorInfo(ort=executor),
        additional_metadata=VariantMetadata(
            toolkit=replace(contents, details={**contents.details, TUNED: tuned})
        ),
    )
    component = replace(
        package.component, variants={**package.component.variants, variant: changed}
    )
    new = package.component_directory / f".{COMPONENT_FILE}.new"
    try:
        write_document(component, new)
        new.replace(package.component_directory / COMPONENT_FILE)
    finally:
        new.unlink(missing_ok=True)
    return ModelPackage.open(package.path, package.component_name)
