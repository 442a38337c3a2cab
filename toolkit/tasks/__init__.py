"""What a model is for: items in; labels, values or tensors out. Torch-free."""

from toolkit.tasks.reader import Batch, Item, Reader, Result, TaskOptions
from toolkit.tasks.specification import (
    ChatSpec,
    DetectionSpec,
    GenerationSpec,
    ImageSpec,
    ResizeSpec,
    TaskName,
    TaskSpec,
    TextSpec,
)
from toolkit.tasks.task import Task, open_task

__all__ = [
    "Batch",
    "ChatSpec",
    "DetectionSpec",
    "GenerationSpec",
    "ImageSpec",
    "Item",
    "Reader",
    "ResizeSpec",
    "Result",
    "Task",
    "TaskName",
    "TaskOptions",
    "TaskSpec",
    "TextSpec",
    "open_task",
]
