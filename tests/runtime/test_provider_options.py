"""Options of execution providers: ONNX Runtime ignores what it does not know."""

import pytest

from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.runtime import Provider
from toolkit.runtime.provider_options import OPTIONS, checked_options
from toolkit.runtime.providers import DEFAULT_CHIP, provider_of


@pytest.mark.parametrize("provider", list(Provider))
def test_an_option_that_no_provider_has_names_those_it_has(provider: Provider) -> None:
    with pytest.raises(InputError, match="'nonsense'") as caught:
        checked_options(provider, {"nonsense": "1"})
    assert caught.value.exit_code == 3
    assert all(name in caught.value.expected for name in OPTIONS[provider])


@pytest.mark.parametrize(
    "provider, name, value, expected",
    [
        ("qnn", "vtcm_mb", "abc", "whole number"),
        ("qnn", "htp_graph_finalization_optimization_mode", "4", "0 to 3"),
        ("qnn", "backend_type", "tpu", "htp"),
        ("qnn", "backend_type", "saver", "htp"),
        ("qnn", "htp_arch", "99", "75"),
        ("qnn", "htp_performance_mode", "fastest", "burst"),
        ("qnn", "soc_model", "SM9999", "SM8650 (57)"),
        ("qnn", "soc_model", "57,69", "SM8650 (57)"),
        ("cuda", "device_id", "-1", "0 or more"),
        ("cuda", "use_tf32", "maybe", "0 or 1"),
        ("cuda", "arena_extend_strategy", "often", "kSameAsRequested"),
        ("tensorrt", "trt_builder_optimization_level", "6", "0 to 5"),
        ("openvino", "cache_dir", "", "a folder"),
        ("coreml", "ModelFormat", "TFLite", "MLProgram"),
    ],
)
def test_a_value_of_another_type_is_refused(
    provider: str, name: str, value: str, expected: str
) -> None:
    with pytest.raises(InputError, match=name) as caught:
        checked_options(Provider(provider), {name: value})
    assert expected in caught.value.expected


@pytest.mark.parametrize(
    "provider, given, written",
    [
        ("cuda", {"use_tf32": "false", "enable_cuda_graph": "TRUE"}, ("0", "1")),
        ("openvino", {"enable_qdq_optimizer": "1"}, ("True",)),
        ("directml", {"disable_metacommands": "0"}, ("false",)),
        ("webgpu", {"preferredLayout": "nhwc"}, ("NHWC",)),
        ("cuda", {"gpu_mem_limit": "007"}, ("7",)),
    ],
)
def test_values_are_written_as_the_provider_spells_them(
    provider: str, given: dict[str, str], written: tuple[str, ...]
) -> None:
    assert tuple(checked_options(Provider(provider), given).values()) == written


def test_a_chip_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert checked_options(Provider.QNN, {"soc_model": "sm8750"})["soc_model"] == "69"
    assert checked_options(Provider.QNN, {})["soc_model"] == DEFAULT_CHIP
    # On a phone the chip is known; a name there would be a guess.
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert checked_options(Provider.QNN, {}) == {"backend_type": "htp"}


def test_a_back_end_by_its_file_goes_alone() -> None:
    assert "backend_type" not in checked_options(Provider.QNN, {"backend_path": "libQnnHtp.so"})


def test_every_provider_is_found_by_its_name() -> None:
    assert [provider_of(one.ort_name) for one in Provider] == list(Provider)
    assert provider_of("AzureExecutionProvider") is None


def test_the_command_exits_3_for_an_unknown_option(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["infer", "tests/data/max_token.onnx", "--provider", "cuda"]
    assert main([*command, "--provider-option", "use_tf23=1"]) == 3
    assert "use_tf32" in capsys.readouterr().err
