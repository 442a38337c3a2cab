"""HTML and SVG elements whose texts and attributes are escaped, whatever they hold."""

from collections.abc import Iterable
from html import escape

_VOID = {"meta", "br", "line", "rect", "circle", "path", "polyline"}


class Markup(str):
    """Text that is markup already; only `element` and `join` make it from anything else."""

    __slots__ = ()


Content = str | int | float | Markup | None


def element(tag: str, /, *children: Content | Iterable[Content], **attributes: Content) -> Markup:
    """An element.

    Args:
        tag: Its name.
        children: Texts, which are escaped, and markup, which is not; None is left out.
        attributes: By name; an underscore at the end is dropped and others become hyphens, so that
            `class_` and `stroke_width` can be written. None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = join(children)
    if not inside and tag in _VOID:
        return Markup(f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{inside}</{tag}>")


def join(children: Iterable[Content | Iterable[Content]]) -> Markup:
    """Children beside each other."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, (str, int, float)):
            parts.append(escape(str(child)))
        else:
            parts.append(join(child))
    return Markup("".join(parts))
