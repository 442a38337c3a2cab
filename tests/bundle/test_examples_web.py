"""The apps of examples/ that embed a bundle in JavaScript do what they say."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.bundle.javascript import REPOSITORY, libraries, need_chromium
from tests.tiny_package import write_tiny_package
from toolkit.bundle import BundleOptions, bundle
from toolkit.bundle.chromium import page
from toolkit.bundle.targets.web import served

EXAMPLES = REPOSITORY / "examples"


def example(name: str, target: str, folder: Path) -> Path:
    """The app in a folder of its own, with a bundle of a package whose answers are known."""
    app = folder / name
    ignored = shutil.ignore_patterns("bundle", "serve.py")  # what a user made there
    shutil.copytree(EXAMPLES / name, app, ignore=ignored)
    package = write_tiny_package(folder / "tiny.ortpackage").path
    options = BundleOptions(runtime=libraries(target), self_test=False)
    bundle(package, target=target, output=app / "bundle", options=options)
    return app


@pytest.mark.slow
def test_the_page_sorts_reviews_as_they_are_typed(tmp_path: Path) -> None:
    need_chromium()
    app = example("web_sentiment", "web", tmp_path)
    shutil.copy(app / "bundle" / "serve.py", app)
    picture = tmp_path / "reviews.png"
    with served(app) as address, page(timeout_s=120) as tab:
        tab.open(address)
        tab.wait_for("document.getElementById('live')?.textContent.startsWith('ready')")
        for number, review in enumerate(["a good film", "bad", "film film"], 1):
            tab.evaluate(
                f"document.getElementById('text').value = {review!r};"
                "document.getElementById('form').requestSubmit()"
            )
            tab.wait_for(f"document.querySelectorAll('li').length === {number}")
        assert tab.evaluate("[...document.querySelectorAll('li')].map((li) => li.className)") == [
            *("bad", "bad", "good")
        ]
        assert tab.evaluate("document.getElementById('summary').textContent") == (
            "1 good, 2 bad, 0 unsure"
        )
        tab.evaluate(
            "document.getElementById('text').value = 'good';"
            "document.getElementById('text').dispatchEvent(new Event('input'))"
        )
        tab.wait_for("document.getElementById('live').textContent.startsWith('positive, 98 %')")
        assert all(one.startswith(address) for one in tab.requests)
        tab.screenshot(picture)
    from PIL import Image

    with Image.open(picture) as image:
        colors = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for drawn in ((0x1F, 0x7A, 0x4D), (0xB3, 0x38, 0x2C)):  # the marks of good and bad
        assert (np.abs(colors.astype(int) - drawn).max(axis=1) < 4).sum() > 50


@pytest.mark.slow
def test_the_command_counts_reviews_and_tells_of_the_bad(tmp_path: Path) -> None:
    app = example("node_command", "node", tmp_path)
    (app / "bundle" / "node_modules").symlink_to(libraries("node"), target_is_directory=True)
    done = subprocess.run(
        ["node", "triage.mjs"],
        cwd=app,
        input="a good film\nbad\n\nfilm film\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == "negative 2\npositive 1\n"
    assert done.stderr == "negative: bad\nnegative: film film\n"
