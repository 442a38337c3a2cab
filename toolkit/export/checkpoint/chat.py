"""A checkpoint's chat template, as the text around one question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.export.libraries import quiet
from toolkit.tasks import ChatSpec

if TYPE_CHECKING:
    from toolkit.export.checkpoint import Opened

_QUESTIONS = ("Where is the 1st of them?", "17 other words")


def chat_around(opened: Opened) -> ChatSpec | None:
    """What the template writes before and after the text of a single turn.

    None where the checkpoint has no template, or one that does more than to put text around the
    question, or that jinja2 (which comes with torch) is not there to run.
    """
    from transformers import AutoTokenizer

    options = {"gguf_file": opened.files.weights[0].name} if opened.files.kind == "gguf" else {}
    found: list[ChatSpec] = []
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                opened.files.path, local_files_only=True, **options
            )
            if not getattr(tokenizer, "chat_template", None):
                return None
            for question in _QUESTIONS:
                text = tokenizer.apply_chat_template(
                    [{"role": "user", "content": question}],
                    tokenize=False,
                    add_generation_prompt=True,
                )
                before, here, after = str(text).partition(question)
                found.append(ChatSpec(before=before, after=after))
                if not here or question in after:
                    return None
    except Exception:  # noqa: BLE001 - a template is a stranger's program
        return None
    return found[0] if found[0] == found[1] else None
