"""What a model is for: items in; labels, values or tensors out. Torch-free."""

from toolkit.tasks.reader import Batch, Item, Reader, Result, TaskOptions
from toolkit.tasks.specification import (
    AudioSpec,
    ChatSpec,
    CtcSpec,
    DetectionSpec,
    GenerationSpec,
    ImageSpec,
    LogitSpec,
    ResizeSpec,
    SpeechSpec,
    TaskName,
    TaskSpec,
    TextSpec,
)
from toolkit.tasks.task import Task, open_task

__all__ = [
    "AudioSpec",
    "Batch",
    "ChatSpec",
    "CtcSpec",
    "DetectionSpec",
    "GenerationSpec",
    "ImageSpec",
    "Item",
    "LogitSpec",
    "Reader",
    "ResizeSpec",
    "Result",
    "SpeechSpec",
    "Task",
    "TaskName",
    "TaskOptions",
    "TaskSpec",
    "TextSpec",
    "open_task",
]
