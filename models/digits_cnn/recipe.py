"""Handwritten digits of 8 x 8 pixels: a small residual convolutional network."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.tasks import ImageSpec, TaskSpec
from toolkit.training import Data, Recipe, Settings, split_rows

SIZE = 8


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, image: Tensor) -> Tensor:
        """float32[batch, channels, height, width], as it came."""
        inner = functional.relu(self.first_norm(self.first(image)))
        return functional.relu(image + self.second_norm(self.second(inner)))


class DigitsCnn(nn.Module):
    """Ten logits. Pixels come as 0 to 255 and are scaled inside."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            ResidualBlock(16),
            nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),  # to 4 x 4
            nn.BatchNorm2d(32),
            nn.ReLU(),
            ResidualBlock(32),
            nn.Flatten(),
            nn.Dropout(settings.dropout),
            nn.Linear(32 * 4 * 4, 10),
        )

    def forward(self, image: Tensor) -> Tensor:
        """float32[batch, 10] from float32[batch, 1, 8, 8]."""
        return self.layers(image / 255)  # type: ignore[no-any-return]  # torch's


def load(_settings: Settings) -> Data:
    """Scikit-learn's digits, their 17 levels of gray spread over 0 to 255; a fifth for the test."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.round(found.images * (255 / 16)).astype(np.uint8)
    return split_rows([*images], found.target.astype("int64"), validation=0.15, test=0.2, seed=0)


def build(settings: Settings, _nothing: None) -> nn.Module:
    """The model."""
    return DigitsCnn(settings)


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy."""
    return functional.cross_entropy(logits, targets)


def augment(feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Shift every image by at most one pixel each way."""
    image = functional.pad(feeds["image"], (1, 1, 1, 1))
    down, right = torch.randint(0, 3, (2, len(image), 1))  # [batch, 1]
    rows, columns = down + torch.arange(SIZE), right + torch.arange(SIZE)  # [batch, 8]
    batch = torch.arange(len(image))[:, None, None]
    shifted = image[batch, 0, rows[:, :, None], columns[:, None, :]]  # [batch, 8, 8]
    return {"image": shifted[:, None]}


recipe = Recipe(
    name="digits_cnn",
    task=TaskSpec(
        name="image-classification",
        labels=tuple("0123456789"),
        output="logits",
        activation="softmax",
        image=ImageSpec(height=SIZE, width=SIZE, mode="L"),
    ),
    settings=Settings(
        optimizer="adamw",
        learning_rate=3e-3,
        schedule="cosine",
        batch_size=64,
        threads=1,
        max_epochs=30,
        l2=1e-2,
        dropout=0.2,
    ),
    load=load,
    build=build,
    loss=loss,
    augment=augment,
)

if __name__ == "__main__":
    from toolkit.cli.train import train_file

    train_file(__file__)
