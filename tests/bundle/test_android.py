"""`toolkit bundle --target android`: what of it can be known without a phone."""

import re
import shutil
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import onnx
import pytest
from tokenizers.models import BPE

from tests.bundle.packages import picture_package
from tests.bundle.phones import ITEMS, document, made, tabular
from toolkit.bundle import BundleOptions, BundleReport, bundle
from toolkit.bundle.document import AppModel, Text
from toolkit.bundle.mobile.checked import check_dtypes, check_here, check_inputs
from toolkit.bundle.mobile.results import decoded, same
from toolkit.bundle.targets import android
from toolkit.errors import CheckFailedError, InputError, SetupError
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import ImageSpec
from toolkit.tensors import TensorSpec

CPP = Path("edge/src/main/cpp")
ANDROID_NAME = "{http://schemas.android.com/apk/res/android}name"
TOOLS_NODE = "{http://schemas.android.com/tools}node"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> BundleReport:
    """A bundle for rows, whose tables are quickly made."""
    return tabular(tmp_path_factory.mktemp("android"), "android", name="a&b")


@pytest.fixture(scope="module")
def folder(report: BundleReport) -> Path:
    return report.path


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for texts; the tables of its tokenizer take seconds."""
    return made(tmp_path_factory.mktemp("android"), "android").path


@pytest.mark.slow
def test_the_graph_has_the_size_of_one_longest_text(text_folder: Path) -> None:
    model = document(text_folder)
    assert [one.shape for one in model.inputs] == [(1, 16)]
    assert model.text is not None
    assert model.text.length == 16


@pytest.mark.slow
def test_sizes_that_are_asked_for_stand_in_the_graph(tmp_path: Path) -> None:
    report = made(tmp_path, "android", fix_shapes={"sequence": 7}, self_test=False)
    assert [one.shape for one in document(report.path).inputs] == [(1, 7)]


def test_weights_beside_a_graph_of_fixed_sizes_are_put_into_it(tmp_path: Path) -> None:
    report = tabular(tmp_path, "android", batch=1, is_external=True)
    package = tmp_path / "rows.ortpackage"
    assert [file.name for file in package.rglob("weights.bin")] == ["weights.bin"]
    assert sorted(document(report.path).files) == ["model.onnx", "self_test.bin"]
    graph = (report.path / "model" / "model.onnx").read_bytes()
    assert b"weights.bin" not in graph
    onnx.checker.check_model(onnx.load_model_from_string(graph))


def test_both_graphs_give_the_same_answers(folder: Path) -> None:
    feeds = {"numeric": np.array([[7.5]], np.float32), "categorical": np.array([[1]])}
    answers = [
        open_session(folder / name, SessionOptions()).run(feeds)["value"].tolist()
        for name in ("model/model.onnx", "reduced/model.ort")
    ]
    assert answers == [[[17.5]], [[17.5]]]


def test_the_reduced_build_holds_every_operator_of_the_graph(folder: Path) -> None:
    config = (folder / "reduced" / "required_operators_and_types.config").read_text()
    graph = onnx.load(folder / "model" / "model.onnx").graph
    operators = {node.op_type for node in graph.node}
    assert len(operators) == 3
    assert operators <= set(re.findall(r"[A-Z]\w+", config))
    assert "tmp" not in config


def test_the_report_says_where_the_self_test_ran_and_what_is_predicted(
    report: BundleReport,
) -> None:
    assert "not on a phone" in report.self_test.where
    assert (report.self_test.cases, report.self_test.largest_difference) == (1, 0.0)
    assert report.self_test.command == "gradle :edge:connectedAndroidTest"
    notes = "\n".join(report.notes)
    assert "nnapi: predicted" in notes
    assert "xnnpack: predicted" in notes
    assert "not checked here" in notes
    assert "placed" not in notes
    (runtime,) = report.runtime
    assert (runtime.name, runtime.version, runtime.included) == (
        "onnxruntime-android",
        "1.29.0",
        False,
    )


def test_predictions_follow_a_package_that_was_written_again(tmp_path: Path) -> None:
    rows = tabular(tmp_path, "android", self_test=False)
    shutil.rmtree(rows.package)
    picture_package(
        rows.package,
        image=ImageSpec(height=4, width=5),
        pictures=[np.zeros((4, 5, 3), int).tolist()],
    )
    options = BundleOptions(self_test=False)
    pixels = bundle(rows.package, target="android", output=tmp_path / "other", options=options)
    told = [[note for note in one.notes if "nnapi: pred" in note] for one in (rows, pixels)]
    assert len(told[0]) == len(told[1]) == 1
    assert told[0] != told[1]


def test_a_store_is_named_where_the_bundle_has_more_than_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: BundleReport
) -> None:
    assert not [note for note in report.notes if "Google Play" in note]
    monkeypatch.setattr(android, "PLAY_BYTES", 100)
    more = tabular(tmp_path, "android", self_test=False)
    assert len([note for note in more.notes if "Google Play delivers 200 MB" in note]) == 1


def test_the_readme_fits_a_page_and_says_what_nobody_checked(folder: Path) -> None:
    readme = (folder / "README.md").read_text()
    assert len(readme.splitlines()) <= 45
    assert "Not checked: this Gradle build" in readme
    assert "nnapi: predicted" in readme


@pytest.mark.slow
def test_the_readme_asks_the_first_text(text_folder: Path) -> None:
    assert f'model.answer("{ITEMS[0]}")' in (text_folder / "README.md").read_text()


def test_nothing_of_the_app_may_use_the_network(folder: Path) -> None:
    manifest = ElementTree.parse(folder / "app/src/main/AndroidManifest.xml").getroot()  # noqa: S314
    removed = {
        one.get(ANDROID_NAME)
        for one in manifest.iter()
        if one.tag in {"provider", "uses-permission"} and one.get(TOOLS_NODE) == "remove"
    }
    assert {"ai.onnxruntime.TelemetryInitializer", "android.permission.INTERNET"} <= removed
    assert not [one for one in manifest.iter("uses-permission") if one.get(TOOLS_NODE) != "remove"]
    assert '"ORT_DISABLE_TELEMETRY", "1"' in "".join(
        file.read_text() for file in folder.rglob("*.kt")
    )


def test_the_xml_is_well_formed_and_versions_are_exact(folder: Path) -> None:
    for file in folder.rglob("*.xml"):
        ElementTree.parse(file)  # noqa: S314 - our own file
    gradle = "\n".join(file.read_text() for file in folder.rglob("*.gradle.kts"))
    found = re.findall(r'"([\w.]+:[\w.-]+):([^"]+)"', gradle)
    assert ("com.microsoft.onnxruntime:onnxruntime-android", "1.29.0") in found
    versions = [version for _, version in found]
    versions += re.findall(r'version "([^"]+)"', gradle)
    assert len(versions) >= 5
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)


def test_a_label_with_signs_of_xml_is_escaped(folder: Path) -> None:
    manifest = ElementTree.parse(folder / "app/src/main/AndroidManifest.xml")  # noqa: S314
    (application,) = manifest.getroot().iter("application")
    label = application.get("{http://schemas.android.com/apk/res/android}label")
    assert label == document(folder).name
    assert "a&b" in str(label)


def test_a_changed_byte_is_found(folder: Path, tmp_path: Path) -> None:
    path = _copied(folder, tmp_path)
    graph = path / "model" / "model.onnx"
    *rest, last = graph.read_bytes()
    graph.write_bytes(bytes([*rest, last ^ 1]))
    with pytest.raises(CheckFailedError, match="was changed"):
        check_here(document(path), path, tokenizer=CPP, command="")


def test_another_graph_for_the_reduced_build_is_found(folder: Path, tmp_path: Path) -> None:
    path = _copied(folder, tmp_path)
    graph = path / "reduced" / "model.ort"
    ten = np.float32(10).tobytes()
    assert graph.read_bytes().count(ten) == 1
    graph.write_bytes(graph.read_bytes().replace(ten, np.float32(11).tobytes()))
    with pytest.raises(CheckFailedError, match="differ by 1"):
        check_here(document(path), path, tokenizer=CPP, command="")


def test_a_row_that_makes_other_inputs_is_found(folder: Path) -> None:
    model = document(folder)
    other = _first_case(model, item={"area": "3.5", "kind": "new"})
    with pytest.raises(CheckFailedError, match="case 1: the item makes other inputs"):
        check_here(other, folder, tokenizer=CPP, command="")
    unknown = _first_case(model, item={"area": "3.5", "kind": "newest"})
    with pytest.raises(CheckFailedError, match="case 1: row 1, column 'kind' is 'newest'"):
        check_here(unknown, folder, tokenizer=CPP, command="")


def test_pixels_that_make_other_inputs_are_found(tmp_path: Path) -> None:
    image = ImageSpec(height=4, width=5, scale=1 / 255, mean=(0.5, 0.5, 0.5))
    gray = np.arange(20).reshape(4, 5).tolist()
    package = picture_package(tmp_path / "p.ortpackage", image=image, pictures=[gray])
    path = bundle(package.path, target="android", output=tmp_path / "bundle").path
    model = document(path)
    assert model.self_test.cases[0].item == gray
    gray[0][0] = 255
    with pytest.raises(CheckFailedError, match="case 1: the item makes other inputs"):
        check_here(_first_case(model, item=gray), path, tokenizer=CPP, command="")
    brighter = msgspec.structs.replace(image, scale=1 / 128)
    other = msgspec.structs.replace(model, image=brighter)
    with pytest.raises(CheckFailedError, match="case 1: the item makes other inputs"):
        check_here(other, path, tokenizer=CPP, command="")


def test_another_result_is_found(folder: Path) -> None:
    model = document(folder)
    task = msgspec.structs.replace(model.task, value_transform="exp")
    with pytest.raises(CheckFailedError, match="case 1: its outputs make another result"):
        check_here(msgspec.structs.replace(model, task=task), folder, tokenizer=CPP, command="")


def _first_case(model: AppModel, **changed: object) -> AppModel:
    """The document with another first case."""
    first, *rest = model.self_test.cases
    cases = (msgspec.structs.replace(first, **changed), *rest)
    test = msgspec.structs.replace(model.self_test, cases=cases)
    return msgspec.structs.replace(model, self_test=test)


def test_results_are_the_same_where_only_rounding_parts_them() -> None:
    scores = {"no": 0.4998, "yes": 0.5, "maybe": 0.1}
    told = {"label": "yes", "score": 0.5, "scores": scores, "labels": ["yes"]}
    assert same(told, {**told, "label": "no", "score": 0.4998, "labels": []})
    assert not same(told, {**told, "label": "maybe"})
    assert not same(told, {**told, "labels": ["maybe"]})
    assert not same(told, {**told, "scores": {**scores, "maybe": 0.102}})
    assert not same(told, {name: told[name] for name in ("label", "score", "scores")})
    assert same({"value": 4000.0}, {"value": 4003.0})
    assert not same({"value": 4000.0}, {"value": 4005.0})
    assert not same({"embedding": [[1.0, 2.0]]}, {"embedding": [1.0, 2.0]})
    assert not same({"embedding": [1.0, 2.0]}, {"embedding": [1.0, 2.0, 0.0]})


def test_states_of_the_padding_are_no_result(folder: Path) -> None:
    names = {"tokens": "ids", "real": "attention_mask"}
    text = Text(tokenizer="", max_length=4, length=4, pad_id=0, inputs=names)  # type: ignore[arg-type]
    model = document(folder)
    task = msgspec.structs.replace(
        model.task, name="feature-extraction", output="last_hidden_state", labels=()
    )
    states = {"last_hidden_state": np.arange(8.0).reshape(1, 4, 2)}
    feeds = {"tokens": np.zeros((1, 4), int), "real": np.array([[1, 1, 0, 0]])}
    states_of = msgspec.structs.replace(model, task=task, text=text)
    assert decoded(states_of, states, feeds) == {"embedding": [[0.0, 1.0], [2.0, 3.0]]}


def test_inputs_that_the_app_does_not_make_are_refused(folder: Path) -> None:
    def model(image: ImageSpec | None, *inputs: TensorSpec) -> AppModel:
        return msgspec.structs.replace(document(folder), image=image, inputs=inputs)

    colors = ImageSpec(height=4, width=5, mean=(0.5, 0.5, 0.5))
    pixels = TensorSpec(name="pixels", dtype="float32", shape=(1, 3, 4, 5))
    check_inputs(model(colors, pixels), "android")
    mask = TensorSpec(name="pixel_mask", dtype="int64", shape=(1, 4, 5))
    for dtype in ("float16", "uint8"):
        other = msgspec.structs.replace(pixels, dtype=dtype)
        with pytest.raises(InputError, match=rf"pixels: {dtype}"):
            check_inputs(model(colors, other), "android")
    alpha = msgspec.structs.replace(pixels, shape=(1, 4, 4, 5))
    for inputs in [(alpha,), (pixels, mask)]:
        with pytest.raises(InputError, match="the graph takes"):
            check_inputs(model(colors, *inputs), "android")
    with pytest.raises(InputError, match="the mean of pixels in RGB has 1 numbers"):
        check_inputs(model(ImageSpec(height=4, width=5, mean=(0.5,)), pixels), "android")
    halves = TensorSpec(name="numeric", dtype="float16", shape=(1, 1))
    with pytest.raises(InputError, match="'numeric' is float16"):
        check_inputs(model(None, halves), "android")


@pytest.mark.slow
def test_another_vocabulary_of_the_c_tokenizer_is_found(text_folder: Path, tmp_path: Path) -> None:
    path = _copied(text_folder, tmp_path)
    source = path / CPP / "data" / "tokenizer.c"
    assert source.read_text().count('{"good", 4, 9}') == 1
    source.write_text(source.read_text().replace('{"good", 4, 9}', '{"good", 4, 8}'))
    with pytest.raises(CheckFailedError, match="case 1: the C tokenizer makes other inputs"):
        check_here(document(path), path, tokenizer=CPP, command="")


@pytest.mark.slow
def test_a_machine_without_a_compiler_is_told_which(
    text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError) as raised:
        check_here(document(text_folder), text_folder, tokenizer=CPP, command="")
    assert "apt-get install gcc" in raised.value.fix


def _copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def test_a_tokenizer_that_the_c_code_is_not_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.tiny_package.WordLevel", _byte_pairs)
    with pytest.raises(InputError, match="model BPE, which the target android"):
        made(tmp_path, "android")
    assert not (tmp_path / "bundle").exists()


def _byte_pairs(vocabulary: dict[str, int], *, unk_token: str) -> BPE:
    return BPE(vocab=vocabulary, merges=[], unk_token=unk_token)


def test_an_element_type_that_java_has_no_tensors_of_is_refused(folder: Path) -> None:
    model = document(folder)
    (spec,) = model.outputs
    odd = msgspec.structs.replace(model, outputs=(msgspec.structs.replace(spec, dtype="uint16"),))
    with pytest.raises(InputError, match=r"'value' is uint16.*android"):
        check_dtypes(odd, android.DTYPES, "android")


def test_the_size_of_an_archive_is_that_of_one_processor(tmp_path: Path) -> None:
    archive = tmp_path / "onnxruntime.aar"
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("jni/arm64-v8a/libonnxruntime.so", bytes(1000))
        files.writestr("jni/arm64-v8a/libonnxruntime4j_jni.so", bytes(100))
        files.writestr("jni/x86_64/libonnxruntime.so", bytes(5000))
        files.writestr("classes.jar", bytes(10))
    report = tabular(tmp_path, "android", runtime=archive, self_test=False)
    assert report.runtime[0].size_bytes == 1110


@pytest.mark.parametrize("content", ["text", "an archive without libraries"])
def test_what_is_no_android_archive_is_refused(tmp_path: Path, content: str) -> None:
    archive = tmp_path / "onnxruntime.aar"
    archive.write_text(content)
    if content != "text":
        with zipfile.ZipFile(archive, "w") as files:
            files.writestr("classes.jar", b"")
    with pytest.raises(InputError, match="--runtime"):
        tabular(tmp_path, "android", runtime=archive)


def test_a_model_without_texts_has_no_native_code(folder: Path) -> None:
    assert not (folder / CPP).exists()
    assert "externalNativeBuild" not in (folder / "edge" / "build.gradle.kts").read_text()
    assert document(folder).text is None
