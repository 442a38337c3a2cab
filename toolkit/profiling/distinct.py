"""Contenders of one name, told apart by where they lie."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.profiling.specification import Model, Peer


def distinct(contenders: Sequence[Model | Peer]) -> list[Model | Peer]:
    """Contenders with names that tell models of one name in different folders apart.

    They get as much of their paths as differs, and no more.
    """
    places: dict[str, set[Path]] = {}
    for model in contenders:
        if isinstance(model, Model):
            places.setdefault(model.place.name, set()).add(model.place)
    return [
        replace(model, name=_told_apart(model, places[model.place.name]))
        if isinstance(model, Model)
        else model
        for model in contenders
    ]


def _told_apart(model: Model, places: Collection[Path]) -> str:
    if len(places) < 2:
        return model.name
    own = model.place.parts
    others = [place.parts for place in places if place != model.place]
    count = 1
    while count < len(own) and any(other[-count:] == own[-count:] for other in others):
        count += 1
    return "/".join([*own[-count:-1], model.name])
