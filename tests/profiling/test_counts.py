"""Operations and bytes by hand."""

import pytest

from toolkit.profiling.counts import NodeShapes, Tensor, Work, count


def float32(*shape: int) -> Tensor:
    return Tensor(dtype="float", shape=shape)


def node(
    op: str,
    inputs: list[Tensor],
    outputs: list[Tensor],
    weights: list[Tensor] | None = None,
    **attributes: int,
) -> Work:
    return count(
        NodeShapes(op=op, inputs=inputs, outputs=outputs, weights=weights, attributes=attributes)
    )


def test_a_product_is_two_operations_for_each_of_its_terms() -> None:
    work = node("MatMul", [float32(2, 3, 5)], [float32(2, 3, 7)], [float32(5, 7)])
    assert work.operations == 2 * (2 * 3 * 7) * 5
    assert work.bytes == 4 * (2 * 3 * 5 + 5 * 7 + 2 * 3 * 7)
    assert (work.arithmetic, work.why_not) == ("float32", "")


def test_a_weight_of_unknown_size_leaves_the_bytes_open() -> None:
    work = node("Gemm", [float32(3, 5), float32(7)], [float32(3, 7)])
    assert work.operations == 2 * 3 * 7 * 5
    assert work.bytes is None
    assert "weights" in work.why_not


def test_the_packed_weight_of_a_product_follows_from_its_sides() -> None:
    known = node("MatMul", [float32(2, 3, 5)], [float32(2, 3, 7)], [float32(5, 7)])
    assert node("MatMul", [float32(2, 3, 5)], [float32(2, 3, 7)]) == known
    two = node("FusedMatMul", [float32(2, 3, 5), float32(2, 5, 7)], [float32(2, 3, 7)])
    assert two.bytes == 4 * (30 + 70 + 42)
    assert node("FusedMatMul", [float32(2, 3, 5)], [float32(2, 3, 7)]).bytes is None


@pytest.mark.parametrize("a", [float32(3, 5), float32(5, 3)])
def test_gemm_finds_the_inner_side_of_a_transposed_matrix(a: Tensor) -> None:
    assert node("Gemm", [a], [float32(3, 7)], []).operations == 2 * 3 * 7 * 5


def test_a_matrix_that_fits_neither_way_is_not_guessed() -> None:
    work = node("Gemm", [float32(4, 5)], [float32(3, 7)], [])
    assert work.operations is None
    assert work.why_not


def test_a_convolution_multiplies_the_window_of_a_group() -> None:
    image, kernel, result = float32(1, 8, 10, 10), float32(16, 4, 3, 3), float32(1, 16, 8, 8)
    assert node("Conv", [image, kernel], [result], []).operations == 2 * 16 * 64 * 4 * 9
    assert node("Conv", [image], [result], [kernel]).operations == 2 * 16 * 64 * 4 * 9
    assert node("Conv", [image, float32(16)], [result]).operations is None


def test_the_image_that_a_fused_convolution_adds_is_no_kernel() -> None:
    image, kernel = float32(2, 16, 8, 8), float32(16, 16, 3, 3)
    fused = node("FusedConv", [image, float32(16), image], [image], [kernel])
    assert fused.operations == 2 * 2 * 16 * 64 * 16 * 9
    assert node("FusedConv", [image, float32(16), image], [image]).operations is None


def test_an_lstm_multiplies_input_and_state_at_each_step() -> None:
    x, y = float32(33, 2, 64), float32(33, 1, 2, 128)
    expected = 2 * 33 * 2 * 4 * 128 * (64 + 128)
    assert node("LSTM", [x], [y], []).operations == expected
    assert node("LSTM", [x], [float32(1, 2, 128)], []).operations == expected  # Y_h alone
    assert node("GRU", [x], [y], []).operations == expected * 3 // 4
    assert node("LSTM", [x], [y], [], layout=1).operations is None


def test_attention_is_projections_scores_and_values() -> None:
    x, y, weight = float32(2, 5, 8), float32(2, 5, 8), float32(8, 24)
    work = node("Attention", [x, weight, float32(24)], [y], [])
    assert work.operations == 2 * 2 * 5 * 8 * 24 + 2 * (2 * 2 * 5 * 5 * 8)


def test_onnx_s_own_attention_has_no_projections() -> None:
    query, key = float32(2, 4, 5, 8), float32(2, 4, 7, 8)
    work = node("Attention", [query, key, key], [query], [])
    assert work.operations == 2 * 7 * (query.elements + query.elements)
    assert node("MultiHeadAttention", [query, key, key], [query], []) == work


@pytest.mark.parametrize("op", ["MatMulInteger", "MatMulIntegerToFloat"])
def test_integer_products_count_against_the_integer_peak(op: str) -> None:
    a, b = Tensor(dtype="uint8", shape=(3, 5)), Tensor(dtype="int8", shape=(5, 7))
    work = node(op, [a, b], [Tensor(dtype="int32", shape=(3, 7))], [])
    assert (work.operations, work.bytes) == (2 * 3 * 7 * 5, 15 + 35 + 4 * 21)
    assert work.arithmetic == "int8"


def test_block_quantized_weights_are_read_packed() -> None:
    packed, scales = Tensor(dtype="uint8", shape=(7, 2, 16)), float32(14)
    work = node("MatMulNBits", [float32(3, 64)], [float32(3, 7)], [packed, scales])
    assert work.operations == 2 * 3 * 7 * 64
    assert work.bytes == 4 * 3 * 64 + 7 * 2 * 16 + 4 * 14 + 4 * 21
    assert work.arithmetic == "float32"
    exact = node("MatMulNBits", [float32(3, 64)], [float32(3, 7)], [packed], accuracy_level=4)
    assert exact.arithmetic == "int8"


def test_half_precision_has_no_measured_peak() -> None:
    half = Tensor(dtype="float16", shape=(3, 3))
    assert node("MatMul", [half, half], [half], []).arithmetic is None


def test_elementwise_nodes_read_and_write_once() -> None:
    work = node("Add", [float32(4, 8), float32(8)], [float32(4, 8)])
    assert (work.operations, work.bytes) == (None, 4 * (32 + 8 + 32))


def test_a_look_up_reads_only_what_it_takes() -> None:
    ids = Tensor(dtype="int64", shape=(2,))
    work = node("Gather", [float32(30000, 64), ids], [float32(2, 64)])
    assert work.bytes == 2 * 8 + 2 * 4 * 2 * 64


def test_four_bit_numbers_take_half_a_byte() -> None:
    assert Tensor(dtype="uint4", shape=(3, 3)).size_bytes == 5
    assert Tensor(dtype="string", shape=(3,)).size_bytes is None


@pytest.mark.parametrize("op", ["Reshape", "Shape", "If", "NonMaxSuppression"])
def test_what_is_not_counted_says_why(op: str) -> None:
    work = node(op, [float32(3)], [float32(3)])
    assert (work.operations, work.bytes) == (None, None)
    assert work.why_not
