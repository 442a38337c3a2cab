"""Facts of a model as C source: strings, tables and initializers, a folder `data/` of them."""

from collections.abc import Iterable, Sequence

from toolkit.bundle.characters import Change, Marked
from toolkit.bundle.tokenizing import Place, Tables

HEADER = "/* Written when the bundle was made; change the model, not this. */\n"
WIDTH = 100

_KINDS = {"space": "KIND_SPACE", "alone": "KIND_ALONE", "symbol": "KIND_SYMBOL"}
_PLACES = {"token": "PLACE_TOKEN", "first": "PLACE_FIRST", "second": "PLACE_SECOND"}


def quoted(text: str) -> str:
    """A string literal of the text's UTF-8, in ASCII."""
    written = []
    for byte in text.encode():
        one = chr(byte)
        plain = 0x20 <= byte < 0x7F and one not in '"\\?'  # "??" begins a trigraph
        written.append(one if plain else f"\\{byte:03o}")
    return f'"{"".join(written)}"'


def quoted_length(text: str) -> str:
    """A string literal and its bytes, which the text may hold a NUL among."""
    return f"{quoted(text)}, {len(text.encode())}"


def braces(*members: object) -> str:
    """An initializer of a struct."""
    return "{" + ", ".join(str(member) for member in members) + "}"


def array(kind: str, name: str, items: Iterable[str]) -> str:
    """A constant array; ISO C has no empty ones, so that of no items is a null pointer.

    Args:
        kind: The type of an element, as in `const char *const`.
        name: What it is called.
        items: The elements' initializers.
    """
    listed = list(items)
    if not listed:
        return f"static const {kind} *const {name} = NULL;\n"
    # Strings stand on lines of their own, which wrapping must not break.
    lines = "\n".join(listed) if any('"' in item for item in listed) else None
    body = f"{lines},".replace("\n", ",\n") if lines else _wrapped(listed)
    return f"static const {kind} {name}[] = {{\n{body}\n}};\n"


def _wrapped(items: Sequence[str]) -> str:
    lines, line = [], ""
    for item in items:
        longer = f"{line} {item}," if line else f"{item},"
        if len(longer) > WIDTH:
            lines.append(line)
            longer = f"{item},"
        line = longer
    return "\n".join([*lines, line])


def tokenizer_source(tables: Tables) -> str:
    """The definition of `tokenizer_data`."""
    words = sorted(tables.vocabulary, key=str.encode)
    prefix = tables.prefix or ""
    inside = [i for i, word in enumerate(words) if prefix and word.startswith(prefix)]
    inside = [i for i in inside if len(words[i]) > len(prefix)]
    parts = [
        HEADER,
        '#include "model_data.h"\n',
        *_change_table("before", tables.before),
        *_change_table("decomposition", tables.decomposition or ()),
        *_change_table("after", tables.after),
        array("struct marked", "classes", _ranges(tables.marks)),
        array("struct marked", "kinds", _ranges(tables.kinds)),
        array(
            "struct token",
            "vocabulary",
            (braces(quoted_length(word), tables.vocabulary[word]) for word in words),
        ),
        array(
            "struct token",
            "special",
            (braces(quoted_length(word), place) for word, place in tables.special.items()),
        ),
        array("struct place", "single", map(_place, tables.single)),
        array("struct place", "pair", map(_place, tables.pair)),
    ]
    members = {
        "before": _table("before", tables.before),
        "decomposition": _table("decomposition", tables.decomposition or ()),
        "after": _table("after", tables.after),
        "decomposes": str(tables.decomposition is not None).lower(),
        "classes": braces("classes", len(tables.marks)),
        "kinds": braces("kinds", len(tables.kinds)),
        "vocabulary": "vocabulary",
        "vocabulary_count": len(words),
        "inside_first": inside[0] if inside else 0,
        "inside_count": len(inside),
        "prefix_length": len(prefix.encode()),
        "longest_token": max(len(word.encode()) for word in words),
        "longest_word": tables.longest_word,
        "unknown": tables.unknown,
        "special": "special",
        "special_count": len(tables.special),
        "single": "single",
        "pair": "pair",
        "single_count": len(tables.single),
        "pair_count": len(tables.pair),
    }
    return "\n".join([*parts, definition("struct tokenizer_data", "tokenizer_data", members)])


def definition(kind: str, name: str, members: dict[str, object]) -> str:
    """A constant of the members' values."""
    lines = "".join(f"    .{member} = {value},\n" for member, value in members.items())
    return f"const {kind} {name} = {{\n{lines}}};\n"


def _change_table(name: str, found: Sequence[Change]) -> list[str]:
    pool: list[int] = []
    places: dict[tuple[int, ...], int] = {}
    entries = []
    for change in found:
        if change.string is None:
            entries.append(braces(change.first, change.last, change.shift, 0, 1))
            continue
        if change.string not in places:
            places[change.string] = len(pool)
            pool += change.string
        start = places[change.string]
        entries.append(braces(change.first, change.last, 0, start, len(change.string)))
    return [
        array("struct change", f"{name}_changes", entries),
        array("uint32_t", f"{name}_pool", [f"{point}U" for point in pool]),
    ]


def _table(name: str, found: Sequence[Change]) -> str:
    return braces(f"{name}_changes", len(found), f"{name}_pool")


def _ranges(found: Sequence[Marked]) -> list[str]:
    return [
        braces(one.first, one.last, _KINDS[one.value] if isinstance(one.value, str) else one.value)
        for one in found
    ]


def _place(place: Place) -> str:
    return braces(_PLACES[place.kind], place.token, place.type)
