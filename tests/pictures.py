"""Pictures for tests, made in code."""

import numpy as np

from toolkit.tensors import Array


def picture(height: int, width: int, seed: int = 0) -> Array:
    """uint8[height, width, 3]: gradients, a rectangle, a disc and some noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack(
        [rows * 255 / height, columns * 255 / width, (rows + columns) * 255 / (height + width)],
        axis=2,
    )
    image[height // 4 : height // 2, width // 3 : width // 2] = rng.integers(0, 256, 3)
    disc = (rows - height * 0.6) ** 2 + (columns - width * 0.7) ** 2 < (min(height, width) / 5) ** 2
    image[disc] = rng.integers(0, 256, 3)
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
