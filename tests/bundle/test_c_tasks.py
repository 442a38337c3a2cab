"""The target c for every kind of task, under the address and undefined-behavior sanitizers."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from tests import builders
from tests.bundle.c_programs import APP, SANITIZERS, WARNINGS, need, run
from tests.bundle.packages import LABELS, picture_package, table_package, text_package
from tests.bundle.test_python import ROW, assert_same
from toolkit import InputError, export, load
from toolkit.bundle import BundleOptions, bundle
from toolkit.bundle.c_model import check_model
from toolkit.bundle.document import AppModel
from toolkit.package import ModelPackage
from toolkit.tasks import ImageSpec

CUT = pytest.mark.filterwarnings("ignore:.*was cut to:toolkit.errors.ToolkitWarning")
GRAY = ImageSpec(height=4, width=5, mode="L")
COLOR = ImageSpec(height=4, width=5, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
TASKS: Sequence[tuple[dict[str, Any], str]] = [
    ({}, "logits"),
    ({"activation": "sigmoid", "multi_label": True}, "logits"),
    ({"name": "feature-extraction", "labels": ()}, "last_hidden_state"),
]
FLAGS = ["-std=c11", "-O1", "-ffp-contract=off", *WARNINGS, *SANITIZERS]


def compiled(folder: Path, sources: Path, *, only: str = "*.c") -> list[Path]:
    """Object files of a folder's sources."""
    need("cc")
    folder.mkdir(exist_ok=True)
    files = [str(file) for file in sorted(sources.glob(only))]
    headers = ["-isystem", str(APP / "include"), "-I", str(APP / "src")]
    subprocess.run(["cc", *FLAGS, *headers, "-c", *files], cwd=folder, check=True, timeout=300)
    return sorted(folder.glob("*.o"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The program without a model: its sources are the same in every bundle."""
    return compiled(tmp_path_factory.mktemp("c") / "objects", APP / "src")


def bundled(package: ModelPackage, program: Sequence[Path], **options: Any) -> Path:
    """A bundle with its program, whose self-test passed."""
    folder = package.path.with_suffix(".bundle")
    asked = BundleOptions(self_test=False, **options)
    bundle(package.path, target="c", output=folder, options=asked)
    linked(folder, program)
    done = run(folder / "app", "--self-test", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def linked(folder: Path, program: Sequence[Path]) -> None:
    objects = compiled(folder / "objects", folder / "data")
    command = ["cc", *FLAGS, "-o", "app", *map(str, [*program, *objects]), "-ldl", "-lm"]
    subprocess.run(command, cwd=folder, check=True, timeout=300)


def answers(folder: Path, *items: str | Path, stdin: str = "") -> list[Any]:
    """Of items, a line each."""
    done = run(folder / "app", *items, folder=folder, lines=stdin.encode())
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def document(folder: Path) -> AppModel:
    content = (folder / "model" / "model.json").read_bytes()
    return msgspec.json.decode(content, type=AppModel)


def raw(folder: Path, content: Any) -> Path:
    """A file of an array's bytes."""
    file = folder / f"{len(list(folder.iterdir()))}.raw"
    file.write_bytes(np.ascontiguousarray(content).tobytes())
    return file


@pytest.mark.slow
@pytest.mark.parametrize(
    "task, output, length",
    [
        ({}, "logits", 12),
        ({"activation": "none"}, "logits", 0),
        ({"activation": "sigmoid", "multi_label": True}, "logits", 0),
        ({"name": "feature-extraction", "labels": ()}, "logits", 0),
        ({"name": "feature-extraction", "labels": ()}, "last_hidden_state", 0),
        ({"name": "feature-extraction", "labels": ()}, "last_hidden_state", 12),
    ],
)
@CUT
def test_texts_are_answered_as_by_the_toolkit(
    task: dict[str, Any], output: str, length: int, program: Sequence[Path], tmp_path: Path
) -> None:
    texts = ["good film", "Ünfilmed 漢!", "film " * 40, "[CLS] [odd", "𠮷 ΣΟΦΟΣ"]
    package = text_package(tmp_path / "a.ortpackage", items=texts[:2], output=output, **task)
    fixed = {"batch": 1, "sequence": length} if length else {}
    folder = bundled(package, program, fix_shapes=fixed)
    expected = [load(package.path)(text) for text in texts]
    assert_same(answers(folder, stdin="\n".join(texts)), expected)
    pairs = [("bad film", "unfilmed"), ("film " * 30, "good " * 30)]
    found = [one for pair in pairs for one in answers(folder, "--pair", *pair)]
    assert_same(found, [load(package.path)(pair) for pair in pairs])


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [
        {"name": "tabular-regression"},
        {"name": "tabular-regression", "value_transform": "exp"},
        {"name": "tabular-classification", "labels": LABELS, "activation": "softmax"},
        {"name": "tabular-classification", "labels": LABELS[:2], "activation": "sigmoid"},
    ],
)
def test_rows_are_answered_as_by_the_toolkit(
    task: dict[str, Any], program: Sequence[Path], tmp_path: Path
) -> None:
    rows = [ROW, {**ROW, "area": "", "roof": "thatched"}, {**ROW, "area": None, "rooms": "3.5"}]
    package = table_package(tmp_path / "a.ortpackage", rows=rows, **task)
    folder = bundled(package, program)
    typed = ["120.5,gable,4", ",thatched,4", ',"gable",3.5']
    assert_same(answers(folder, *typed), [load(package.path)(row) for row in rows])


@pytest.mark.slow
def test_a_cell_that_is_no_number_is_an_error_and_no_missing_one(
    program: Sequence[Path], tmp_path: Path
) -> None:
    package = table_package(tmp_path / "a.ortpackage", rows=[ROW], name="tabular-regression")
    folder = bundled(package, program)
    for cell in ("nan", "inf", "1e999", "0x10", "4 rooms", " "):
        wrong = run(folder / "app", f"120.5,gable,{cell}", folder=folder)
        assert (wrong.returncode, wrong.stdout) == (3, b""), cell
        assert f"rooms holds '{cell}', which is no number".encode() in wrong.stderr
    plain = answers(folder, "120.5,gable,4")
    assert answers(folder, stdin="120.5,gable,4\r\n") == plain
    assert b"columns, not 2" in run(folder / "app", "120.5,gable", folder=folder).stderr


@pytest.mark.slow
@pytest.mark.parametrize("image", [GRAY, COLOR])
def test_pixels_are_answered_as_by_the_toolkit(
    image: ImageSpec, program: Sequence[Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    channels = () if image.mode == "L" else (3,)
    pictures = [rng.integers(0, 256, (4, 5, *channels), np.uint8) for _ in range(3)]
    gray = rng.integers(0, 256, (4, 5), np.uint8)  # stands for a picture with equal channels
    items = [*pictures[:2], gray]
    package = picture_package(tmp_path / "a.ortpackage", image=image, pictures=items)
    folder = bundled(package, program)
    found = answers(folder, *[raw(tmp_path, one) for one in pictures])
    assert_same(found, [load(package.path)(one) for one in pictures])
    (tmp_path / "short.raw").write_bytes(b"\0" * 7)
    wrong = run(folder / "app", tmp_path / "short.raw", folder=folder)
    assert wrong.returncode == 3
    assert b"does not hold exactly" in wrong.stderr


@pytest.mark.slow
def test_tensors_are_answered_as_by_the_graph(program: Sequence[Path], tmp_path: Path) -> None:
    builders.relu(tmp_path / "m.onnx")
    package = export(tmp_path / "m.onnx", tmp_path / "a.ortpackage").package
    folder = bundled(ModelPackage.open(Path(package)), program)
    (found,) = answers(folder, raw(tmp_path, np.array([-1, 2.5, 3], np.float32)))
    y = {"dtype": "float32", "shape": [1, 3], "data": [[0, 2.5, 3]]}
    assert found == {"outputs": {"y": y}}
    missing = run(folder / "app", tmp_path / "none.raw", folder=folder)
    assert missing.returncode == 3
    assert b"cannot open" in missing.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "place, before, after, problem",
    [
        (0, "exp(values[i] - largest)", "exp(2 * (values[i] - largest))", b"makes 0."),
        (
            1,
            "values[i] > values[result->best]",
            "values[i] < values[result->best]",
            b"makes no where yes",
        ),
        (1, ">= 0.5", ">= 0.9", b"takes the label"),
        (2, "tokens +=", "tokens += 0 *", b"of another size"),
    ],
)
def test_the_self_test_fails_where_postprocessing_makes_another_answer(
    place: int, before: str, after: str, problem: bytes, program: Sequence[Path], tmp_path: Path
) -> None:
    task, output = TASKS[place]
    package = text_package(tmp_path / "a.ortpackage", output=output, **task)
    folder = bundled(package, program)
    source = folder / "src" / "decode.c"
    written = source.read_text(encoding="utf-8")
    assert written.count(before) == 1
    source.write_text(written.replace(before, after), encoding="utf-8")
    (changed,) = compiled(folder / "changed", folder / "src", only="decode.c")
    linked(folder, [changed if file.name == changed.name else file for file in program])
    done = run(folder / "app", "--self-test", folder=folder)
    assert done.returncode == 1
    assert json.loads(done.stdout)["largest_difference"] == 0
    assert b"case 1: postprocessing" in done.stderr
    assert problem in done.stderr


def about(package: ModelPackage, folder: Path) -> AppModel:
    """What the program would be told of the package."""
    bundle(package.path, target="c", output=folder, options=BundleOptions(self_test=False))
    return document(folder)


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_pixels_of_another_type_than_the_program_makes_are_refused(
    dtype: str, tmp_path: Path
) -> None:
    pictures = [np.zeros((4, 5, 3), np.uint8)]
    package = picture_package(tmp_path / "a.ortpackage", image=COLOR, pictures=pictures)
    model = about(package, tmp_path / "b")
    (pixels,) = model.inputs
    for inputs in ((replace(pixels, dtype=dtype),), (pixels, replace(pixels, name="mask"))):
        with pytest.raises(InputError, match="pixels") as raised:
            check_model(replace(model, inputs=inputs))
        assert raised.value.fix == "--target python"


@pytest.mark.parametrize("name, dtype", [("numeric", "float64"), ("categorical", "float32")])
def test_cells_of_another_type_than_the_program_makes_are_refused(
    name: str, dtype: str, tmp_path: Path
) -> None:
    package = table_package(tmp_path / "a.ortpackage", rows=[ROW], name="tabular-regression")
    model = about(package, tmp_path / "b")
    inputs = tuple(
        replace(spec, dtype=dtype) if spec.name == name else spec for spec in model.inputs
    )
    with pytest.raises(InputError, match=f"'{name}' is {dtype}"):
        check_model(replace(model, inputs=inputs))
