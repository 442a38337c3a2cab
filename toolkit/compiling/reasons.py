"""Why a provider left nodes of a graph to the CPU, as far as its rules say."""

from collections.abc import Collection
from pathlib import Path

from toolkit.inspection.coverage import predict
from toolkit.runtime.providers import Provider


def reasons(model: Path, provider: Provider, operators: Collection[str]) -> dict[str, str]:
    """The reason by operator type, for those that a rule names.

    Args:
        model: The graph that was compiled.
        provider: What compiled it.
        operators: Types that were measured to run elsewhere, such as `Placement.elsewhere` has.
    """
    if not operators:
        return {}
    found: dict[str, str] = {}
    for prediction in predict(model):
        for one in prediction.breaks if prediction.provider == provider else ():
            change = f"; {one.change}" if one.change else ""
            found.setdefault(one.operator, f"{one.reason}{change}")
    return {name: found[name] for name in operators if name in found}
