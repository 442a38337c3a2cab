"""Where a session's nodes run, by what ONNX Runtime recorded while it opened the session."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.errors import CheckFailedError, InputError
from toolkit.runtime.providers import Provider

SHOWN_OPERATORS = 8


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Nodes of a session, as they were assigned before ONNX Runtime's last fusions.

    Attributes:
        operators: Nodes by ONNX Runtime's provider name and operator type.
    """

    operators: Mapping[str, Mapping[str, int]]

    @property
    def nodes(self) -> dict[str, int]:
        """Nodes by ONNX Runtime's provider name."""
        return {name: sum(counts.values()) for name, counts in self.operators.items()}

    def share(self, provider: Provider) -> float | None:
        """The provider's part of all nodes, 0 to 1; None where no node is left of the graph."""
        nodes = self.nodes
        total = sum(nodes.values())
        return nodes.get(provider.ort_name, 0) / total if total else None

    def elsewhere(self, provider: Provider) -> dict[str, int]:
        """Nodes by operator type that another provider runs, the most first."""
        found: Counter[str] = Counter()
        for name, counts in self.operators.items():
            if name != provider.ort_name:
                found.update(counts)
        return dict(found.most_common())


def placement_of(raw: Any) -> Placement:
    """What an `onnxruntime.InferenceSession` recorded.

    Source: `session.record_ep_graph_assignment_info`; nothing else tells where nodes run.
    """
    operators: dict[str, Counter[str]] = {}
    for graph in raw.get_provider_graph_assignment_info():
        counts = operators.setdefault(graph.ep_name, Counter())
        counts.update(
            f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            for node in graph.get_nodes()
        )
    return Placement(operators={name: dict(counts) for name, counts in operators.items()})


def placement_text(provider: str, nodes: Mapping[str, int], elsewhere: Mapping[str, int]) -> str:
    """Where the nodes run, for people; see `Placement`.

    Args:
        provider: The word that `--provider` takes.
        nodes: By ONNX Runtime's provider name.
        elsewhere: By operator type, those that another provider runs.
    """
    counted = (f"{n} {'node' if n == 1 else 'nodes'} on {name}" for name, n in nodes.items())
    text = f"{provider}: {', '.join(counted) or 'placement unknown'}"
    if not elsewhere:
        return text
    share = sum(elsewhere.values()) / sum(nodes.values())
    return f"{text}; {share:.1%} elsewhere: {operators_text(elsewhere)}"


def operators_text(counts: Mapping[str, int]) -> str:
    """Operators with their counts: "Erf 6, Gather 2"."""
    shown = [f"{name} {count}" for name, count in list(counts.items())[:SHOWN_OPERATORS]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more types" if more else "")


def check_required(require: Mapping[str, float], provider: Provider) -> None:
    """Refuse required shares that cannot be checked.

    Raises:
        InputError: A share is none, or of another provider than the one that is asked for.
    """
    for name, share in require.items():
        if name != provider:
            raise InputError(
                f"a share of {name!r} is required, and the provider asked for is {provider}",
                expected=f"--require {provider}=SHARE",
                fix=f"--provider {name}" if name in list(Provider) else "",
            )
        if not 0 < share <= 1:
            raise InputError(
                f"the share required of {name} is {share:g}", expected="above 0, at most 1"
            )


def check_share(
    placement: Placement, require: Mapping[str, float], provider: Provider, model: str
) -> None:
    """Refuse a session that runs too little of its graph on the provider.

    Raises:
        CheckFailedError: The share is below what is required, or no node is left to run.
    """
    limit = require.get(provider)
    if limit is None:
        return
    share = placement.share(provider)
    if share is None:
        raise CheckFailedError(
            f"{provider.ort_name} runs no node of {model}: none is left of the graph, which folds "
            "to constants or hands its inputs on",
            expected=f"at least {limit:.1%} of its nodes",
            fix=f"leave --require {provider} out",
        )
    if share < limit:
        raise CheckFailedError(
            f"{provider.ort_name} runs {share:.1%} of the nodes of {model}; elsewhere: "
            f"{operators_text(placement.elsewhere(provider))}",
            expected=f"at least {limit:.1%}",
            fix=f"toolkit inspect {model}   (says what each provider takes)",
        )
