"""Names that an encoder, a decoder with a cache, and what runs them agree on."""

PAST = "past_key_values"
"""Keys and values of earlier positions, which the decoder takes."""
PRESENT = "present"
"""The same with those of the new positions, which it gives."""
CROSS = "cross_key_values"
"""Keys and values of the encoder's states, which the encoder gives and the decoder takes."""


def cache_names(kind: str, layers: int) -> tuple[str, ...]:
    """"KIND.0.key", "KIND.0.value", "KIND.1.key" and so on."""
    return tuple(f"{kind}.{layer}.{part}" for layer in range(layers) for part in ("key", "value"))
