"""`toolkit bundle --target ios`: what of it can be known without Xcode and an iPhone."""

import re
import shutil
import subprocess
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import onnx
import pytest

from tests.bundle import fetched
from tests.bundle.phones import ITEMS, document, made, tabular
from toolkit.bundle import BundleReport
from toolkit.bundle import apps as app_files
from toolkit.bundle.mobile.checked import check_dtypes, check_here, check_opset
from toolkit.bundle.targets import ios
from toolkit.errors import CheckFailedError, InputError
from toolkit.runtime import SessionOptions, open_session

SOURCES = Path("Edge/Sources/EdgeModel")
TOKENIZER = Path("Edge/Sources/CTokenizer")

# How Swift sees the Objective-C API of a session's options, to the first label. Source:
# microsoft/onnxruntime, objectivec/include/ort_session.h and ort_coreml_execution_provider.h.
API = {
    "addConfigEntry(withKey:",
    "appendCoreMLExecutionProvider(withOptionsV2:",
    "appendExecutionProvider(_:",
    "setIntraOpNumThreads(_:",
}
TYPES = {"ORTEnv", "ORTSession", "ORTSessionOptions", "ORTTensorElementDataType", "ORTValue"}
ELEMENTS = {"float", "int8", "uInt8", "int32", "uInt32", "int64", "uInt64"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> BundleReport:
    return tabular(tmp_path_factory.mktemp("ios"), "ios")


@pytest.fixture(scope="module")
def folder(report: BundleReport) -> Path:
    return report.path


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for texts; the tables of its tokenizer take seconds."""
    return made(tmp_path_factory.mktemp("ios"), "ios").path


def test_the_report_says_where_the_self_test_ran_and_what_is_predicted(
    report: BundleReport,
) -> None:
    assert "not on a phone" in report.self_test.where
    assert (report.self_test.cases, report.self_test.largest_difference) == (1, 0.0)
    notes = "\n".join(report.notes)
    assert "coreml MLProgram: predicted" in notes
    assert "not checked here: that the Swift code compiles" in notes
    assert "placed" not in notes
    (runtime,) = report.runtime
    assert (runtime.version, runtime.size_bytes) == ("1.24.2", None)


def test_both_graphs_have_fixed_sizes_and_the_same_answers(folder: Path) -> None:
    feeds = {"numeric": np.array([[7.5]], np.float32), "categorical": np.array([[1]])}
    for name in ("model/model.onnx", "reduced/model.ort"):
        session = open_session(folder / name, SessionOptions())
        assert {spec.shape for spec in session.inputs} == {(1, 1)}
        assert session.run(feeds)["value"].tolist() == [[17.5]]


def test_the_readme_fits_a_page_and_says_what_nobody_checked(folder: Path) -> None:
    readme = (folder / "README.md").read_text()
    assert len(readme.splitlines()) <= 45
    assert "Not checked: that the\nSwift compiles" in readme
    assert "coreml MLProgram: predicted" in readme


@pytest.mark.slow
def test_the_readme_asks_the_first_text(text_folder: Path) -> None:
    assert f'model.answer(.string("{ITEMS[0]}"))' in (text_folder / "README.md").read_text()


def test_onnxruntime_is_pinned_to_one_release(folder: Path) -> None:
    package = (folder / "Edge" / "Package.swift").read_text()
    assert 'exact: "1.24.2"' in package
    assert "CTokenizer" not in package
    assert not (folder / TOKENIZER).exists()


def test_one_file_alone_knows_onnxruntime_and_calls_what_it_has(folder: Path) -> None:
    users = [file for file in folder.rglob("*.swift") if re.search(r"\bORT|Onnx", file.read_text())]
    assert users == [folder / SOURCES / "Model.swift"]
    code = users[0].read_text()
    assert set(re.findall(r"\bORT[A-Z]\w+", code)) == TYPES
    calls = re.findall(r"settings\.(\w+)\(\s*(\w+:)?", code)
    assert {f"{name}({label or '_:'}" for name, label in calls} == API
    assert (
        "ORTValue(\n            tensorData: NSMutableData(data: data), elementType: type," in code
    )
    assert "ORTSession(env: environment, modelPath: path, sessionOptions: settings)" in code
    assert "session.run(withInputs: values, outputNames: names, runOptions: nil)" in code
    types = code.partition("[String: ORTTensorElementDataType] = [")[2].partition("]")[0]
    assert set(re.findall(r"\.(\w+)", types)) == ELEMENTS


@pytest.mark.slow
def test_the_options_of_core_ml_are_those_of_its_header(folder: Path) -> None:
    unpacked = fetched.from_npm(fetched.MOBILE, fetched.MOBILE_SHA256, fetched.is_mobile)
    header = (unpacked / fetched.IOS_HEADERS / "coreml_provider_factory.h").read_text()
    code = (folder / SOURCES / "Model.swift").read_text()
    options = code.partition("appendCoreMLExecutionProvider(withOptionsV2: [")[2].partition("]")[0]
    asked = re.findall(r'"(\w+)":', options)
    assert len(asked) == 4
    assert all(f'= "{name}";' in header for name in asked)


def test_the_project_names_nothing_that_it_does_not_define(folder: Path) -> None:
    project = (folder / "Edge.xcodeproj" / "project.pbxproj").read_text()
    named = set(re.findall(r"\b[0-9A-F]{24}\b", project))
    defined = re.findall(r"^\t\t([0-9A-F]{24}) .*= \{$", project, re.MULTILINE)
    assert named == set(defined)
    assert len(defined) == len(set(defined))
    assert project.count("{") == project.count("}")
    assert project.count("(") == project.count(")")
    files = re.findall(r"lastKnownFileType = [\w.]+;\s+path = ([\w.]+);", project)
    found = {file.name for file in folder.rglob("*")}
    assert set(files) == {"EdgeApp.swift", "SelfTestOnDevice.swift", "model"}
    assert set(files) <= found
    assert "relativePath = Edge;" in project
    scheme = folder / "Edge.xcodeproj/xcshareddata/xcschemes/Edge.xcscheme"
    targets = {
        one.get("BlueprintIdentifier")
        for one in ElementTree.parse(scheme).getroot().iter("BuildableReference")  # noqa: S314
    }
    assert len(targets) == 2
    assert targets <= named


def test_a_parser_of_swift_reads_every_file(folder: Path) -> None:
    names = ("tree_sitter", "tree_sitter_swift")
    if any(find_spec(name) is None for name in names):
        fetched.lacking("tree-sitter and tree-sitter-swift, of the extra `dev`")
    trees, swift = map(import_module, names)
    parser = trees.Parser(trees.Language(swift.language()))
    files = [*folder.rglob("*.swift")]
    assert len(files) == 11
    wrong = [file.name for file in files if parser.parse(file.read_bytes()).root_node.has_error]
    assert wrong == []
    assert parser.parse(b"func broken( {").root_node.has_error


def test_a_changed_graph_is_found(folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(folder, tmp_path / "copy"))
    graph = path / "model" / "model.onnx"
    *rest, last = graph.read_bytes()
    graph.write_bytes(bytes([*rest, last ^ 1]))
    with pytest.raises(CheckFailedError, match="was changed"):
        check_here(document(path), path, tokenizer=TOKENIZER, command="")


@pytest.mark.slow
def test_the_bridge_for_swift_gives_the_tokens_of_the_tokenizer(
    text_folder: Path, tmp_path: Path
) -> None:
    program = tmp_path / "main.c"
    program.write_text(
        "#include <stdio.h>\n#include <string.h>\n"
        '#include "edge_tokenizer.h"\n'
        "int main(int count, char **texts) {\n"
        "  int32_t ids[4], types[4];\n"
        "  const char *second = count > 2 ? texts[2] : NULL;\n"
        "  size_t length = second == NULL ? 0 : strlen(second);\n"
        "  int32_t made = edge_tokens(texts[1], strlen(texts[1]), second, length, 4, ids, types);\n"
        '  for (int i = 0; i < made; ++i) printf("%d ", ids[i]);\n'
        '  printf("%d", made);\n'
        "  return 0;\n}\n"
    )
    sources = text_folder / TOKENIZER
    files = [program, sources / "edge_tokenizer.c", *sources.glob("tokenizer/*/*.c")]
    folders = [sources / name for name in ("include", "tokenizer/src", "tokenizer/include")]
    includes = [f"-I{one}" for one in folders]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    executable = tmp_path / "main"
    command: list[str | Path] = ["cc", "-std=c11", *warnings, *includes]
    command += [*files, "-o", executable]
    subprocess.run(command, check=True, timeout=120)

    def tokens(*texts: str | bytes) -> list[int]:
        done = subprocess.run([executable, *texts], capture_output=True, check=True)
        return [int(one) for one in done.stdout.split()]

    assert tokens("funny good film") == [1, 9, 3, 3]
    assert tokens("bad", "good") == [2, 9, 2]
    assert tokens("good " * 9) == [9, 9, 9, 9, 4]
    assert tokens("") == [0]
    assert tokens(b"\xff") == [-2]


def test_more_tokens_than_there_is_room_for_are_not_copied(tmp_path: Path) -> None:
    apps = Path(app_files.__file__).parent / "apps"
    program = tmp_path / "main.c"
    program.write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n"
        '#include "edge_tokenizer.h"\n#include "tokenizer.h"\n'
        "const struct tokenizer_data tokenizer_data;\n"
        "enum tokenizer_status make_tokens(const struct tokenizer_data *tokenizer,\n"
        "    const char *first, size_t first_length, const char *second,\n"
        "    size_t second_length, size_t longest, struct tokens *tokens) {\n"
        "  (void)tokenizer, (void)first, (void)first_length, (void)second;\n"
        "  (void)second_length, (void)longest;\n"
        "  tokens->count = 2;\n"
        "  tokens->ids = calloc(2, sizeof *tokens->ids);\n"
        "  tokens->types = calloc(2, sizeof *tokens->types);\n"
        "  return TOKENS_MADE;\n}\n"
        "void free_tokens(struct tokens *tokens) { free(tokens->ids); free(tokens->types); }\n"
        "int main(void) {\n"
        "  int32_t ids[] = {7, 7}, types[] = {7, 7};\n"
        '  printf("%d ", edge_tokens("", 0, NULL, 0, 1, ids, types));\n'
        '  printf("%d %d", ids[1], types[1]);\n'
        "  return 0;\n}\n"
    )
    bridge = apps / "ios" / TOKENIZER
    executable = tmp_path / "main"
    command: list[str | Path] = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror"]
    command += [
        f"-I{folder}" for folder in (bridge / "include", apps / "c/src", apps / "c/include")
    ]
    command += [program, bridge / "edge_tokenizer.c", "-o", executable]
    subprocess.run(command, check=True, timeout=120)
    done = subprocess.run([executable], capture_output=True, text=True, check=True)
    assert done.stdout == "-3 7 7"


def test_a_provider_that_did_not_start_is_no_passed_test_on_a_device(folder: Path) -> None:
    code = (folder / "Tests" / "SelfTestOnDevice.swift").read_text()
    skipped, ran = (code.index(one) for one in ("XCTSkipIf(model.fallback != nil", "SelfTest.run"))
    assert skipped < ran


def test_no_integer_of_json_can_end_the_app(folder: Path) -> None:
    code = (folder / SOURCES / "Tensor.swift").read_text()
    init = code.partition("switch spec.dtype {")[2].partition("default:")[0]
    assert len(re.findall("whole", init)) == 6
    assert not re.search(r"\bU?Int\d+\(", code)
    assert "Element(exactly:" in code


def test_an_element_type_that_swift_has_no_tensors_of_is_refused(folder: Path) -> None:
    model = document(folder)
    (spec,) = model.outputs
    odd = msgspec.structs.replace(model, outputs=(msgspec.structs.replace(spec, dtype="bool"),))
    with pytest.raises(InputError, match=r"'value' is bool.*ios"):
        check_dtypes(odd, ios.DTYPES, "ios")


def test_operators_newer_than_the_pinned_release_are_refused(folder: Path, tmp_path: Path) -> None:
    graph = onnx.load(folder / "model" / "model.onnx")
    graph.opset_import[0].version = 26
    onnx.save(graph, tmp_path / "newer.onnx")
    with pytest.raises(InputError, match="opset 26") as raised:
        check_opset(tmp_path / "newer.onnx", ios.NEWEST_OPSET, "onnxruntime 1.24.2")
    assert "at most 25" in raised.value.expected


def test_the_library_of_a_framework_gives_the_size(tmp_path: Path) -> None:
    library = tmp_path / "onnxruntime.xcframework/ios-arm64/onnxruntime.framework/onnxruntime"
    library.parent.mkdir(parents=True)
    library.write_bytes(bytes(1234))
    framework = tmp_path / "onnxruntime.xcframework"
    report = tabular(tmp_path, "ios", runtime=framework, self_test=False)
    assert report.runtime[0].size_bytes == 1234
    with pytest.raises(InputError, match="holds no ios-arm64"):
        tabular(tmp_path / "other", "ios", runtime=tmp_path)
