"""What a model is for: items in; labels, values or tensors out. Torch-free."""

from toolkit.tasks.specification import (
    ChatSpec,
    GenerationSpec,
    ImageSpec,
    TaskName,
    TaskSpec,
    TextSpec,
)
from toolkit.tasks.task import Item, Result, Task, open_task

__all__ = [
    "ChatSpec",
    "GenerationSpec",
    "ImageSpec",
    "Item",
    "Result",
    "Task",
    "TaskName",
    "TaskSpec",
    "TextSpec",
    "open_task",
]
