"""The target web: a page that answers in a real browser as the toolkit does."""

import hashlib
import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from tests import builders
from tests.bundle.javascript import libraries, need_chromium
from tests.bundle.packages import picture_package, table_package, text_package
from tests.bundle.test_python import ROW, assert_same
from toolkit import export, load
from toolkit.bundle import BundleOptions, BundleReport, bundle
from toolkit.bundle.chromium import Page, page
from toolkit.bundle.targets import web
from toolkit.errors import CheckFailedError, InputError, SetupError
from toolkit.package import ModelPackage
from toolkit.tasks import ImageSpec

STATE = "['ready', 'failed'].includes(document.body?.dataset.state) && document.body.dataset.state"
SOFTWARE_GPU = (
    *("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"),
)


def bundled(package: ModelPackage, *, self_test: bool = False, **options: Any) -> BundleReport:
    need_chromium()
    asked = BundleOptions(self_test=self_test, runtime=libraries("web"), **options)
    folder = package.path.with_suffix(".bundle")
    return bundle(package.path, target="web", output=folder, options=asked)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test changes; a fresh one costs seconds, for gzip's sizes."""
    package = text_package(tmp_path_factory.mktemp("texts") / "a.ortpackage")
    return bundled(package).path


def copied(folder: Path, place: Path) -> Path:
    return Path(shutil.copytree(folder, place / "bundle"))


@contextmanager
def opened(folder: Path, query: str = "", *, flags: tuple[str, ...] = ()) -> Iterator[Page]:
    with web.served(folder) as address, page(timeout_s=120, flags=flags) as tab:
        tab.open(address + query)
        tab.wait_for(STATE)
        yield tab


def answers(folder: Path, items: list[Any]) -> list[Any]:
    """Of items, by the module that a page of one's own imports."""
    code = f"""(async () => {{
      const {{ openModel }} = await import("./browser.js");
      const {{ model }} = await openModel();
      const answers = [];
      for (const item of {json.dumps(items)}) answers.push(await model.answer(item));
      return answers;
    }})()"""
    with opened(folder, "?self-test") as tab:  # which needs no warm-up
        found: list[Any] = tab.evaluate(code)
        return found


@pytest.mark.slow
def test_a_page_answers_what_is_typed_and_asks_nobody_else(tmp_path: Path) -> None:
    package = text_package(tmp_path / "films.ortpackage", items=["good film", "bad film"])
    report = bundled(package, self_test=True)
    assert report.self_test.where.startswith("onnxruntime-web 1.30.0, WebAssembly, ")
    assert report.self_test.cases == 2
    assert report.wire_bytes is not None
    assert report.wire_bytes < report.size_bytes
    with opened(report.path) as tab:
        assert tab.evaluate("crossOriginIsolated") is True
        assert tab.evaluate("document.getElementById('error').textContent") == ""
        typed = "Ünfilmed 漢!"
        tab.evaluate(
            "(() => { const box = document.getElementById('item');"
            f"box.value = {json.dumps(typed)};"
            "box.dispatchEvent(new Event('input', { bubbles: true })); })()"
        )
        best = load(package.path)(typed)
        shown = f"{100 * best['score']:.1f} %"
        tab.wait_for(f"document.getElementById('bars').innerText.includes({json.dumps(shown)})")
        assert tab.evaluate("document.getElementById('label').textContent") == best["label"]
        tab.wait_for("document.getElementById('latency').textContent.includes('median of')")
        origin = tab.evaluate("location.origin") + "/"
        assert len(tab.requests) > 8
        assert [one for one in tab.requests if not one.startswith(origin)] == []
        blocked = "fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)"
        assert tab.evaluate(blocked) == "TypeError"
        picture = tmp_path / "page.png"
        tab.screenshot(picture)
    _assert_drawn(picture)


def _assert_drawn(picture: Path) -> None:
    from PIL import Image

    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L")).astype(int)
    drawn = np.abs(pixels - int(np.median(pixels))) > 32
    assert drawn.mean() > 0.01  # text and bars, and no blank page


@pytest.mark.slow
def test_every_kind_of_item_is_answered_as_by_the_toolkit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (4, 5, 3), np.uint8) for _ in range(2)]
    image = ImageSpec(height=4, width=5, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    builders.relu(tmp_path / "m.onnx")
    tensors = export(tmp_path / "m.onnx", tmp_path / "t.ortpackage").package
    asked: list[tuple[ModelPackage, list[Any]]] = [
        (text_package(tmp_path / "p.ortpackage", items=[("a", "b")]), [["bad film", "un"]]),
        (table_package(tmp_path / "r.ortpackage", rows=[ROW], name="tabular-regression"), [ROW]),
        (picture_package(tmp_path / "i.ortpackage", image=image, pictures=pictures), pictures),
    ]
    for package, items in asked:
        folder = bundled(package, self_test=True).path
        given = [item.tolist() if isinstance(item, np.ndarray) else item for item in items]
        model = load(package.path)
        wanted = [model(tuple(item) if isinstance(item, list) else item) for item in items]
        assert_same(answers(folder, given), wanted)
    folder = bundled(ModelPackage.open(Path(tensors)), self_test=True).path
    (found,) = answers(folder, [{"x": [[-1, 2, 3]]}])
    assert found["outputs"]["y"]["data"] == [[0, 2, 3]]


@pytest.mark.slow
def test_threads_and_webgpu_are_as_asked_or_an_error(texts: Path) -> None:
    runs_on = "document.getElementById('runtime').textContent"
    with opened(texts, "?threads=1") as tab:
        assert "WebAssembly, 1 thread." in tab.evaluate(runs_on)
    with opened(texts, "?provider=webgpu") as tab:
        assert tab.evaluate("document.body.dataset.state") == "failed"
        assert "no WebGPU" in tab.evaluate("document.getElementById('error').innerText")
    with opened(texts, "?provider=webgpu&self-test", flags=SOFTWARE_GPU) as tab:
        said = json.loads(tab.evaluate("document.getElementById('verdict').textContent"))
        assert said["passed"] is True
        assert "WebGPU" in said["runtime"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_the_self_test_fails_when_one_byte_was_changed(
    name: str, texts: Path, tmp_path: Path
) -> None:
    folder = copied(texts, tmp_path)
    file = folder / "model" / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with opened(folder, "?self-test") as tab:
        said = json.loads(tab.evaluate("document.getElementById('verdict').textContent"))
    assert (said["passed"], said["problems"]) == (False, [f"{name} was changed"])


@pytest.mark.slow
def test_an_operator_that_the_runtime_lacks_is_named(texts: Path, tmp_path: Path) -> None:
    folder = copied(texts, tmp_path)
    graph = folder / "model" / "model.onnx"
    value = helper.make_tensor_value_info
    node = helper.make_node(
        "Rfft", ["x"], ["y"], domain="com.microsoft", normalized=0, onesided=1, signal_ndim=1
    )
    ends = [value("x", TensorProto.FLOAT, [2, 4]), value("y", TensorProto.FLOAT, None)]
    lacking = helper.make_graph([node], "lacking", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    save(helper.make_model(lacking, ir_version=10, opset_imports=opsets), graph)
    document = folder / "model" / "model.json"
    about = json.loads(document.read_text(encoding="utf-8"))
    about["files"]["model.onnx"] = hashlib.sha256(graph.read_bytes()).hexdigest()
    document.write_text(json.dumps(about), encoding="utf-8")
    with opened(folder, "?self-test") as tab:
        said = json.loads(tab.evaluate("document.getElementById('verdict').textContent"))
    with pytest.raises(InputError, match="onnxruntime-web has no operator Rfft for") as failed:
        web.judged(said, "")
    assert "--variant" in failed.value.fix


def test_a_page_that_fails_is_no_bundle() -> None:
    said = {"passed": False, "problems": ["the answers differ by 2, more than 1"], "operator": None}
    with pytest.raises(CheckFailedError, match="the answers differ by 2"):
        web.judged(said, "")
    with pytest.raises(CheckFailedError, match="no crypto"):
        web.judged(None, "no crypto")


def test_a_graph_that_no_browser_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    package = text_package(tmp_path / "a.ortpackage")
    monkeypatch.setattr(web, "TARGET", replace(web.TARGET, largest_bytes=100))
    with pytest.raises(InputError, match="MB") as failed:
        bundle(package.path, target="web", output=tmp_path / "b")
    assert "toolkit quantize" in failed.value.fix
    assert 2**30 < web.LARGEST_BYTES < 2**31


def test_chromium_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = text_package(tmp_path / "a.ortpackage")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="chromium is not installed") as failed:
        bundle(package.path, target="web", output=tmp_path / "b")
    assert "apt-get install chromium" in failed.value.fix
    options = BundleOptions(self_test=False)
    with pytest.raises(SetupError, match="npm is not installed"):
        bundle(package.path, target="web", output=tmp_path / "b", options=options)
    assert not (tmp_path / "b").exists()


def test_the_server_sends_the_headers_that_threads_need(tmp_path: Path) -> None:
    folder = Path(web.__file__).parents[1] / "apps" / "web"
    with web.served(folder) as address, urllib.request.urlopen(f"{address}app.js") as answer:  # noqa: S310 - ours
        headers = answer.headers
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Content-Type"] == "text/javascript"


@pytest.mark.parametrize(
    "program, told",
    [
        ("import time; time.sleep(60)", "said nothing in 1 s"),
        ("raise OSError('no port')", "no port"),
    ],
)
def test_a_server_that_does_not_start_is_told(
    program: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "STARTS_WITHIN_S", 1.0 if "sleep" in program else 30.0)
    (tmp_path / "serve.py").write_text(program)
    with pytest.raises(CheckFailedError, match=told), web.served(tmp_path):
        pytest.fail("it was served")


@pytest.mark.slow
def test_a_float_graph_carries_webgpu_and_an_integer_one_does_not(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "INTEGERS", frozenset({"fp32"}))
    without = bundled(text_package(tmp_path / "a.ortpackage")).path
    for folder, has in ((texts, True), (without, False)):
        assert (folder / "runtime" / "ort.webgpu.min.mjs").is_file() is has
        readme = (folder / "README.md").read_text(encoding="utf-8")
        assert ("?provider=webgpu" in readme) is has
        assert len(readme.splitlines()) <= 45
        assert (folder / "LICENSES" / "onnxruntime-web.txt").is_file()
        assert (folder / "LICENSES" / "tokenizers.txt").is_file()


@pytest.mark.slow
def test_a_page_that_throws_is_told() -> None:
    need_chromium()
    with page(timeout_s=60) as tab, pytest.raises(CheckFailedError, match="broken here"):
        tab.evaluate("(() => { throw new Error('broken here'); })()")
    with page(timeout_s=3) as tab, pytest.raises(CheckFailedError, match="in time"):
        tab.wait_for("false")
