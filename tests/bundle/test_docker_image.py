"""The image of `toolkit bundle --target docker`: the Dockerfile, its wheels, and its size."""

import hashlib
import os
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser

from tests.bundle.packages import text_package, write_text_graph
from tests.bundle.served import write_wheels
from tests.tiny_package import write_tiny_package
from toolkit.bundle import BundleOptions, BundleReport, bundle
from toolkit.bundle import image as image_size
from toolkit.bundle.report import Runtime
from toolkit.bundle.targets import kserve
from toolkit.bundle.wheels import wheel_hashes
from toolkit.errors import CheckFailedError, InputError, SetupError
from toolkit.progress import silent

pytestmark = pytest.mark.slow

IN_CI = os.environ.get("CI") == "true"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> BundleReport:
    folder = tmp_path_factory.mktemp("docker")
    package = write_tiny_package(folder / "tiny.ortpackage")
    options = BundleOptions(runtime=wheels, self_test=False)
    return bundle(package.path, target="docker", output=folder / "out", options=options)


def parsed(folder: Path) -> list[dict[str, Any]]:
    with (folder / "Dockerfile").open("rb") as file:
        structure: list[dict[str, Any]] = DockerfileParser(fileobj=file).structure
    return [one for one in structure if one["instruction"] != "COMMENT"]


def test_the_dockerfile_ends_in_a_stage_that_installs_and_builds_nothing(
    made: BundleReport,
) -> None:
    found = parsed(made.path)
    stages = [at for at, one in enumerate(found) if one["instruction"] == "FROM"]
    assert len(stages) == 2
    last = {one["instruction"]: one["value"] for one in found[stages[-1] :]}
    assert "RUN" not in last
    assert re.fullmatch(r"\d+:\d+", last["USER"])
    assert not last["USER"].startswith("0:")
    assert last["CMD"] == '["python", "server.py"]'
    assert "/v2/health/ready" in last["HEALTHCHECK"]
    assert "ORT_DISABLE_TELEMETRY=1" in last["ENV"]
    base = next(one["value"] for one in found if one["instruction"] == "ARG")
    assert re.fullmatch(r"BASE=python:3\.11\.\d+-slim-bookworm", base)
    assert {one["value"].split()[0] for one in found if one["instruction"] == "FROM"} == {"${BASE}"}


def test_what_the_dockerfile_copies_is_there_and_not_ignored(made: BundleReport) -> None:
    kept = [
        line[1:]
        for line in (made.path / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = [
        source
        for one in parsed(made.path)
        if one["instruction"] == "COPY" and "--from" not in one["value"]
        for source in one["value"].split()[:-1]
    ]
    assert {"model", "server.py", "requirements.txt"} <= set(copied)
    for source in copied:
        assert (made.path / source).exists(), source
        assert source in kept


def test_an_image_over_its_limit_is_not_written(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_size, "MOST_BYTES", 200_000_000)
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    with pytest.raises(CheckFailedError, match="150") as caught:
        bundle(
            package.path,
            target="docker",
            output=tmp_path / "out",
            options=BundleOptions(runtime=wheels),
        )
    assert "at most 200 MB" in caught.value.expected
    assert not (tmp_path / "out").exists()


def test_what_is_trimmed_counts_neither_in_the_image_nor_in_the_memory(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = text_package(
        tmp_path / "wide.ortpackage", graph=lambda file: write_text_graph(file, rows=1_000_000)
    )
    texts = tmp_path / "texts.txt"
    texts.write_text("good film\nunfilmed\n")
    options = BundleOptions(runtime=wheels, trim=texts, self_test=False)
    out = tmp_path / "docker"
    made = bundle(package.path, target="docker", output=out, options=options)
    (told,) = [note for note in made.notes if note.startswith("image: ")]
    assert float(told.rsplit(" ", 1)[1]) < 1  # of the 12 MB that the package's graph has
    monkeypatch.setattr(kserve, "_COPIES", 100)
    options = BundleOptions(trim=texts, self_test=False)
    out = tmp_path / "kserve"
    bundle(package.path, target="kserve", output=out, options=options)
    assert "memory: 2Gi" in (out / "inferenceservice.yaml").read_text()


def test_a_folder_without_a_wheel_is_refused_by_the_wheel(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    with pytest.raises(InputError, match="onnxruntime"):
        bundle(
            package.path,
            target="docker",
            output=tmp_path / "out",
            options=BundleOptions(runtime=tmp_path),
        )


@pytest.mark.parametrize(
    "kinds, lacking",
    [
        (("cp311-cp311-manylinux_2_28_x86_64",), "aarch64"),
        (("cp311-cp311-manylinux_2_28_aarch64", "cp312-cp312-manylinux_2_28_x86_64"), "x86_64"),
        (("cp311-cp311-manylinux_2_28_aarch64", "cp311-cp311-win_amd64"), "x86_64"),
    ],
)
def test_wheels_of_another_machine_or_python_are_no_wheels(
    kinds: tuple[str, ...], lacking: str, tmp_path: Path
) -> None:
    needed = [
        Runtime(
            name="some-lib", version="1.2", license="MIT", purl="", size_bytes=1, included=False
        )
    ]
    (tmp_path / "foo.whl").write_text("no wheel's name")
    for kind in kinds:
        (tmp_path / f"some_lib-1.2-{kind}.whl").write_text(kind)
    told = f"some-lib 1.2 for Python 3.11 on Linux on {lacking}"
    with pytest.raises(InputError, match=re.escape(told)) as e:
        wheel_hashes(needed, tmp_path, silent)
    assert f"manylinux_2_28_{lacking}" in e.value.fix
    file = tmp_path / f"some_lib-1.2-cp38-abi3-manylinux_2_17_{lacking}.manylinux2014_{lacking}.whl"
    file.write_text("abi3")
    found = wheel_hashes(needed, tmp_path, silent)["some-lib"]
    assert len(found) == 2
    assert hashlib.sha256(b"abi3").hexdigest() in found


def test_the_image_as_far_as_it_can_be_built_here(tmp_path: Path) -> None:
    # Its RUN lines are run, the server starts with nothing but its packages, and it is as large as
    # was calculated.
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    try:
        made = bundle(package.path, target="docker", output=tmp_path / "out")
    except SetupError as error:
        if IN_CI:
            raise
        pytest.skip(f"no package index: {error}")
    packages, app = tmp_path / "packages", tmp_path / "app"
    app.mkdir()
    for name in ("app.py", "v2.py", "service.py", "server.py"):
        (app / name).write_bytes((made.path / name).read_bytes())
    python = shlex.quote(sys.executable)
    for one in parsed(made.path):
        if one["instruction"] != "RUN":
            continue
        line = one["value"].replace("/tmp/requirements.txt", str(made.path / "requirements.txt"))  # noqa: S108 - the image's
        line = line.replace("/packages", str(packages)).replace(":/app", f":{app}")
        line = line.replace("pip install", f"{python} -m pip install --python-version 3.11")
        line = line.replace(" python -c", f" {python} -S -c")
        subprocess.run(
            ["bash", "-euc", line],
            cwd=packages if packages.exists() else tmp_path,
            check=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": ""},
        )
    files = [file for file in packages.rglob("*") if file.is_file()]
    assert not [file for file in files if fnmatch(file.name, "*.pyi")]
    measured = sum(file.stat().st_size for file in files)
    calculated = sum(one.size_bytes or 0 for one in made.runtime) + image_size.COMPILED_BYTES
    assert 0.95 * calculated < measured <= calculated
    served = subprocess.run(
        [sys.executable, "-S", "self_test.py"],
        cwd=made.path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert served.returncode == 0, served.stderr
