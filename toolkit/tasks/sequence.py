"""Names that an encoder, a decoder with a cache, and what runs them agree on."""

ENCODER, DECODER = "encoder", "decoder"
"""The two components of an encoder-decoder."""
PAST = "past_key_values"
"""Keys and values of earlier positions, which the decoder takes."""
PRESENT = "present"
"""The same with those of the new positions, which it gives."""
CROSS = "cross_key_values"
"""Keys and values of the encoder's states, which the encoder gives and the decoder takes."""
TOKENS = "decoder_input_ids"
"""The decoder's new tokens."""
ENCODER_MASK = "encoder_attention_mask"
"""0 where the encoder's input is padding."""


def cache_names(kind: str, layers: int) -> tuple[str, ...]:
    """The names KIND.0.key, KIND.0.value, KIND.1.key and so on."""
    return tuple(f"{kind}.{layer}.{part}" for layer in range(layers) for part in ("key", "value"))
