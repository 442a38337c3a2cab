"""Does it compute the same, and how good is it: what `validate` and every gate use."""
