"""The options of each execution provider, with their types: ONNX Runtime ignores unknown ones.

Sources: the tables of onnxruntime.ai/docs/execution-providers; for QNN 2.7.0 and the plugins of
    WebGPU 0.4.0 and OpenVINO 1.8.1 also the names in the libraries themselves. Options that hold an
    address in memory (`user_compute_stream` and the like) are left out: a text cannot hold one.
"""

from collections.abc import Mapping

from toolkit.errors import InputError
from toolkit.runtime.option_types import Chip, Flag, OneOf, OptionType, Text, Whole
from toolkit.runtime.providers import Provider

CHIPS = (
    *(("SM8350", 30), ("SM8450", 36), ("SM8475", 42), ("SM8550", 43), ("SM8650", 57)),
    *(("SM8750", 69), ("SM8850", 87), ("SC8380XP", 60), ("SC8480XP", 88)),
)
"""Names of chips that QNN takes, with the number that it writes into what it compiles for them.

Source: compiled with onnxruntime-qnn 2.7.0, whose compatibility string says the number.
"""

_PERFORMANCE = (
    *("default", "burst", "balanced", "high_performance", "high_power_saver", "low_balanced"),
    *("low_power_saver", "power_saver", "extreme_power_saver", "sustained_high_performance"),
)
_FLAG = Flag()
_NUMBER = Whole()
_DEVICE = Whole()
_FILE = Text("a file")
_FOLDER = Text("a folder")

QNN: Mapping[str, OptionType] = {
    "backend_type": OneOf(("htp", "cpu", "gpu")),  # saver (2.7.0) answers garbage, ir runs nothing
    "backend_path": _FILE,
    "soc_model": Chip(CHIPS),
    "htp_arch": OneOf(("0", "68", "69", "73", "75", "79", "81")),
    "device_id": _DEVICE,
    "htp_performance_mode": OneOf(_PERFORMANCE),
    "htp_graph_finalization_optimization_mode": Whole(0, 3),
    "qnn_context_priority": OneOf(("low", "normal", "normal_high", "high")),
    "vtcm_mb": _NUMBER,
    "rpc_control_latency": _NUMBER,
    "profiling_level": OneOf(("off", "basic", "detailed", "optrace")),
    "profiling_file_path": _FILE,
    "op_packages": Text("packages of operators, as QNN lists them"),
    "json_qnn_graph_dir": _FOLDER,
    "dump_qnn_ir_dlc_dir": _FOLDER,
    "qnn_ir_backend_path": _FILE,
    "qnn_saver_path": _FILE,
    "htp_share_resource_optimization": Whole(0, 2),
    "htp_reused_io_limit_mb": _NUMBER,
    "htp_graph_splitting_num_prepare_threads": Whole(1),
    **dict.fromkeys(
        (
            *("enable_htp_fp16_precision", "enable_htp_fp16_clamp_overflow", "htp_bf16_enable"),
            *("offload_graph_io_quantization", "enable_htp_spill_fill_buffer", "extended_udma"),
            *("enable_htp_shared_memory_allocator", "enable_vtcm_backup_buffer_sharing"),
            *("enable_htp_monolithic_lstm", "enable_block_quant_weight_optimization"),
            *("enable_htp_graph_splitting", "enable_htp_prepare_only", "dump_json_qnn_graph"),
            *("enable_htp_prepare_and_load", "disable_file_mapped_weights", "dump_qnn_ir_dlc"),
            *("skip_backend_op_validation", "skip_qnn_version_check"),
        ),
        _FLAG,
    ),
}

CUDA: Mapping[str, OptionType] = {
    "device_id": _DEVICE,
    "gpu_mem_limit": _NUMBER,
    "arena_extend_strategy": OneOf(("kNextPowerOfTwo", "kSameAsRequested")),
    "cudnn_conv_algo_search": OneOf(("EXHAUSTIVE", "HEURISTIC", "DEFAULT")),
    "sdpa_kernel": _NUMBER,
    "tunable_op_max_tuning_duration_ms": _NUMBER,
    **dict.fromkeys(
        (
            *("do_copy_in_default_stream", "cudnn_conv_use_max_workspace", "enable_cuda_graph"),
            *("cudnn_conv1d_pad_to_nc1d", "use_tf32", "prefer_nhwc", "fuse_conv_bias"),
            *("use_ep_level_unified_stream", "enable_skip_layer_norm_strict_mode"),
            *("tunable_op_enable", "tunable_op_tuning_enable"),
        ),
        _FLAG,
    ),
}

TENSORRT: Mapping[str, OptionType] = {
    "device_id": _DEVICE,
    **dict.fromkeys(
        (
            *("trt_max_partition_iterations", "trt_min_subgraph_size", "trt_max_workspace_size"),
            *("trt_dla_core", "trt_auxiliary_streams"),
        ),
        _NUMBER,
    ),
    "trt_builder_optimization_level": Whole(0, 5),
    "trt_ep_context_embed_mode": Whole(0, 1),
    **dict.fromkeys(
        (
            *("trt_fp16_enable", "trt_bf16_enable", "trt_int8_enable", "trt_dla_enable"),
            *("trt_int8_use_native_calibration_table", "trt_dump_subgraphs"),
            *("trt_engine_cache_enable", "trt_weight_stripped_engine_enable"),
            *("trt_force_sequential_engine_build", "trt_context_memory_sharing_enable"),
            *("trt_layer_norm_fp32_fallback", "trt_timing_cache_enable", "trt_force_timing_cache"),
            *("trt_detailed_build_log", "trt_build_heuristics_enable", "trt_sparsity_enable"),
            *("trt_cuda_graph_enable", "trt_dump_ep_context_model", "trt_engine_hw_compatible"),
            "trt_engine_decryption_enable",
        ),
        _FLAG,
    ),
    **dict.fromkeys(
        (
            *("trt_int8_calibration_table_name", "trt_onnx_model_folder_path"),
            *("trt_engine_cache_path", "trt_engine_cache_prefix", "trt_timing_cache_path"),
            *("trt_engine_decryption_lib_path", "trt_tactic_sources", "trt_preview_features"),
            *("trt_extra_plugin_lib_paths", "trt_profile_min_shapes", "trt_profile_max_shapes"),
            *("trt_profile_opt_shapes", "trt_ep_context_file_path", "trt_op_types_to_exclude"),
        ),
        Text(),
    ),
}

_OPENVINO_FLAG = Flag("False", "True")
OPENVINO: Mapping[str, OptionType] = {
    "device_type": Text("a device such as CPU, GPU or NPU, or AUTO:, HETERO:, MULTI: and several"),
    "device_id": Text(),
    "device_luid": Text(),
    "precision": OneOf(("FP32", "FP16", "ACCURACY")),
    "num_of_threads": Whole(1),
    "num_streams": Whole(1),
    "model_priority": OneOf(("LOW", "MEDIUM", "HIGH", "DEFAULT")),
    "cache_dir": _FOLDER,
    "load_config": _FILE,
    "layout": Text("layouts by input, such as image[NCHW]"),
    "reshape_input": Text("shapes by input, such as image[1,3,60,80]"),
    "enable_opencl_throttling": _OPENVINO_FLAG,
    "disable_dynamic_shapes": _OPENVINO_FLAG,
    "enable_qdq_optimizer": _OPENVINO_FLAG,
    "enable_causallm": _OPENVINO_FLAG,
}

WEBGPU: Mapping[str, OptionType] = {
    "preferredLayout": OneOf(("NCHW", "NHWC")),
    "dawnBackendType": OneOf(("Vulkan", "D3D12", "Metal")),
    "powerPreference": OneOf(("high-performance", "low-power")),
    "validationMode": OneOf(("disabled", "wgpuOnly", "basic", "full")),
    "forceCpuNodeNames": Text("names of nodes, one a line"),
    "deviceId": _DEVICE,
    "maxStorageBufferBindingSize": _NUMBER,
    "maxNumPendingDispatches": Whole(1),
    "multiRotaryCacheConcatOffset": _NUMBER,
    "kvCacheQuantizationBits": _NUMBER,
    "sessionBufferPoolGenerations": _NUMBER,
    **dict.fromkeys(
        (
            *("storageBufferCacheMode", "uniformBufferCacheMode", "queryResolveBufferCacheMode"),
            "defaultBufferCacheMode",
        ),
        OneOf(("disabled", "lazyRelease", "simple", "bucket")),
    ),
    **dict.fromkeys(
        (
            *("enableGraphCapture", "enableInt64", "enablePIXCapture", "enableRobustness"),
            "preserveDevice",
        ),
        _FLAG,
    ),
}

COREML: Mapping[str, OptionType] = {
    "ModelFormat": OneOf(("MLProgram", "NeuralNetwork")),
    "MLComputeUnits": OneOf(("ALL", "CPUOnly", "CPUAndGPU", "CPUAndNeuralEngine")),
    "SpecializationStrategy": OneOf(("Default", "FastPrediction")),
    "ModelCacheDirectory": _FOLDER,
    **dict.fromkeys(
        (
            *("RequireStaticInputShapes", "EnableOnSubgraphs", "ProfileComputePlan"),
            "AllowLowPrecisionAccumulationOnGPU",
        ),
        _FLAG,
    ),
}

DIRECTML: Mapping[str, OptionType] = {
    "device_id": _DEVICE,
    "performance_preference": OneOf(("default", "high_performance", "minimum_power")),
    "device_filter": OneOf(("any", "gpu", "npu")),
    **dict.fromkeys(
        ("disable_metacommands", "enable_graph_capture", "enable_graph_serialization"),
        Flag("false", "true"),
    ),
}

OPTIONS: Mapping[Provider, Mapping[str, OptionType]] = {
    Provider.CPU: {},
    Provider.CUDA: CUDA,
    Provider.TENSORRT: TENSORRT,
    Provider.OPENVINO: OPENVINO,
    Provider.QNN: QNN,
    Provider.WEBGPU: WEBGPU,
    Provider.COREML: COREML,
    Provider.NNAPI: {},
    Provider.XNNPACK: {"intra_op_num_threads": _NUMBER},
    Provider.DIRECTML: DIRECTML,
}
"""Every option that may be given, by provider."""


def checked_options(provider: Provider, given: Mapping[str, str]) -> dict[str, str]:
    """The options as the provider spells them, its defaults included.

    Args:
        provider: The execution provider.
        given: Texts by name, as `--provider-option` takes them.

    Raises:
        InputError: The provider has no such option, or the value is none of the option's.
    """
    known = OPTIONS[provider]
    checked = dict(provider.default_options)
    if "backend_path" in given:  # QNN takes one of the two
        checked.pop("backend_type", None)
    for name, text in given.items():
        if name not in known:
            raise InputError(
                f"{provider} has no option {name!r}",
                expected=f"one of {', '.join(known)}" if known else "no option at all",
                fix="leave it out: ONNX Runtime by itself would ignore it",
            )
        value = known[name].parsed(str(text))
        if value is None:
            raise InputError(
                f"the option {name} of {provider} is {text!r}", expected=known[name].expected
            )
        checked[name] = value
    return checked


def given_options(provider: Provider, given: Mapping[str, str]) -> dict[str, str]:
    """The options that were given, without the defaults, as the provider spells them.

    Two texts may mean the same, as "SM8650" and "057" do: only these are to be compared.

    Args:
        provider: The execution provider.
        given: Texts by name.

    Raises:
        InputError: See `checked_options`.
    """
    checked = checked_options(provider, given)
    return {name: checked[name] for name in given}
