"""`toolkit profile` with operators, resources, report and trace."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.builders import mlp
from tests.tiny_package import write_tiny_package
from toolkit.cli.details import plain_p50_ms
from toolkit.cli.main import main
from toolkit.profiling import instrumented, profile
from toolkit.profiling.peaks import Peaks
from toolkit.profiling.resources import RUNS
from toolkit.profiling.scenarios import Offline
from toolkit.profiling.writing import check_writable, write_text


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mlp") / "mlp.onnx"
    mlp(file)
    return file


@pytest.mark.slow
def test_the_document_holds_operators_and_resources(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["profile", str(model), "--runs", "20", "--operators", "--resources", "--json"]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    found = document["operators"]
    assert {node["op"] for node in found["nodes"]} == {"FusedGemm", "MatMul"}
    assert found["instrumented"]["plain_p50_ms"] == document["latency_ms"]["p50"]
    assert found["roofline"]["operations"] == 2 * 32 * 16 + 2 * 4 * 32
    assert found["roofline"]["notes"]
    assert document["resources"]["cpu_ms_per_run"] > 0
    assert document["resources"]["runs"] == RUNS
    assert str(model.parent) not in json.dumps(document)


def test_neither_is_measured_unasked(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(model), "--runs", "5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "operators" not in document
    assert "resources" not in document


@pytest.mark.slow
def test_tables_say_that_instrumented_time_is_not_latency(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", str(model), "--runs", "5", "--operators", "--resources", "-q"]) == 0
    shown = capsys.readouterr().out
    for expected in (
        "shares, not latency",
        "FusedGemm",
        "% of roof",
        "CPU time",
        "peaks",
        "memory in",
    ):
        assert expected in shown


@pytest.mark.slow
def test_report_and_trace_of_a_package_are_written_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    report, trace = tmp_path / "report.html", tmp_path / "trace.json"
    arguments = ["profile", str(package.path), "--runs", "25", "--report", str(report)]
    assert main([*arguments, "--chrome-trace", str(trace)]) == 0
    assert "ReduceMax" in capsys.readouterr().out
    page = report.read_text()
    for expected in ("tiny.ortpackage", "Roofline", "Resources", "Histogram", "reference"):
        assert expected in page
    events = json.loads(trace.read_text())["traceEvents"]
    assert "ReduceMax" in {event.get("cat") for event in events}
    assert str(tmp_path) not in page + trace.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "report.html",
        "tiny.ortpackage",
        "trace.json",
    ]


@pytest.mark.parametrize("option, name", [("--report", "r.txt"), ("--chrome-trace", "t.html")])
def test_a_file_of_another_ending_is_typed_wrongly(
    model: Path, option: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", str(model), option, name]) == 2
    assert name in capsys.readouterr().err
    assert not Path(name).exists()


@pytest.mark.parametrize("option", ["--report", "--chrome-trace"])
def test_a_file_is_replaced_only_with_force(
    model: Path, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ("old.html" if option == "--report" else "old.json")
    file.write_text("mine")
    arguments = ["profile", str(model), "--runs", "5", "-q", option, str(file)]
    assert main(arguments) == 3
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "mine"
    if option == "--chrome-trace":
        assert main([*arguments, "--force"]) == 0
        assert "replaced" in capsys.readouterr().err
        assert "traceEvents" in file.read_text()


@pytest.mark.parametrize("option", ["--operators", "--resources"])
def test_a_comparison_takes_none_of_it(
    model: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", str(model), "--compare", "threads=1", option]) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--operators", "--chrome-trace=trace.json"])
def test_several_sizes_take_none_of_it(
    model: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", str(model), "--shape", "batch=1,2", option]) == 2
    told = capsys.readouterr().err
    assert option.partition("=")[0] in told
    assert "--shape gives 2" in told


def test_the_instrumented_run_is_fed_the_files_that_were_given(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.npy"
    np.save(file, np.ones((3, 16), np.float32))
    trace = tmp_path / "trace.json"
    arguments = ["profile", str(model), "--runs", "5", "-q", "--input", f"x={file}"]
    assert main([*arguments, "--chrome-trace", str(trace)]) == 0
    nodes = [e for e in json.loads(trace.read_text())["traceEvents"] if e.get("cat") == "MatMul"]
    assert {json.dumps(e["args"]["output_type_shape"]) for e in nodes} == {'[{"float": [3, 4]}]'}


def test_the_median_beside_a_recorded_run_is_of_single_runs(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = profile(model, scenario=Offline(sessions=1, batch=2), runs=5, warmup=1, processes=1)
    assert plain_p50_ms(report) is None
    report = profile(model, runs=5, warmup=1, processes=1)
    assert report.latency is not None
    assert plain_p50_ms(report) == report.latency.percentiles_ms[50]


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    from toolkit.errors import InputError

    for place in (tmp_path, tmp_path / "none" / "report.html"):
        with pytest.raises(InputError):
            check_writable(place, force=True)
    assert write_text(tmp_path / "new", "a") is False
    assert write_text(tmp_path / "new", "b") is True
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_peaks_of_one_thread_serve_a_session_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def measured(*, threads: int, node_ms: float) -> Peaks:
        made.append(threads)
        return Peaks(
            threads=threads, float32_gops=1, int8_gops=1, copy_gb_s=((1, 1.0),), node_ms=node_ms
        )

    monkeypatch.setattr("toolkit.profiling.peaks.measure_peaks", measured)
    monkeypatch.setattr(instrumented, "_empty_node_ms", lambda folder: 0.002)
    one, every = instrumented._peaks(1, Path())
    assert one is every
    one, every = instrumented._peaks(3, Path())
    assert (one.threads, every.threads, made) == (1, 3, [1, 1, 3])
