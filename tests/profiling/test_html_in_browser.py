"""The page of a report in a real browser: drawn, and without a request."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.profiling.pages import full_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--hide-scrollbars", "--no-proxy-server"),
)


def requests_of(page: Path, picture: Path, *, size: str, dark: bool = False) -> list[str]:
    """Draw a page in Chromium, and list the addresses that the page asked for.

    Chromium asks its maker for the time and for updates; those requests have no origin.
    """
    assert CHROMIUM is not None
    profile = picture.with_suffix(".profile")
    log = picture.with_suffix(".netlog")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"--window-size={size}"]
    command += [f"--screenshot={picture}", f"--log-net-log={log}", page.as_uri()]
    command += ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    shutil.rmtree(profile)
    written = json.loads(log.read_text(errors="replace"))
    started = written["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [event["params"] for event in written["events"] if event["type"] == started]
    return [
        params["url"]
        for params in asked
        if params.get("initiator", "not an origin") != "not an origin" and "url" in params
    ]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(
    "name,size,dark", [("wide", "1200,3000", False), ("narrow", "500,3000", True)]
)
def test_a_real_browser_shows_it_without_a_request(
    tmp_path: Path, name: str, size: str, dark: bool
) -> None:
    from PIL import Image

    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    page = artifacts / "report.html"
    page.write_text(full_page())
    picture = artifacts / f"{name}.png"
    assert requests_of(page, picture, size=size, dark=dark) == []
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"))
    background = int(np.median(pixels))
    assert (background < 64) if dark else (background > 192)
    drawn = np.abs(pixels.astype(int) - background) > 32
    assert drawn.mean() > 0.02  # text and charts, and no blank page
    quarters = np.array_split(drawn, 4)
    assert all(quarter.any() for quarter in quarters)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_page_that_asks_for_something_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "asks.html"
    page.write_text('<!doctype html><img src="http://127.0.0.1:9/picture.png">')
    assert requests_of(page, tmp_path / "asks.png", size="300,300") == [
        "http://127.0.0.1:9/picture.png"
    ]
