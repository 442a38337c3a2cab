package edge.model

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONArray

/**
 * Numbers of one element type, row by row, in memory that ONNX Runtime reads as it is.
 *
 * [dtype] is numpy's word for the element type, and [bytes] begins at its first byte.
 */
class Tensor(val dtype: String, val shape: LongArray, val bytes: ByteBuffer) {
    val size: Int get() = bytes.capacity() / widthOf(dtype)

    /** One element as a number. */
    operator fun get(index: Int): Double = when (dtype) {
        "float32" -> bytes.getFloat(4 * index).toDouble()
        "float64" -> bytes.getDouble(8 * index)
        "int64" -> bytes.getLong(8 * index).toDouble()
        "int32" -> bytes.getInt(4 * index).toDouble()
        "int16" -> bytes.getShort(2 * index).toDouble()
        "int8" -> bytes.get(index).toDouble()
        "uint8", "bool" -> (bytes.get(index).toInt() and 0xff).toDouble()
        else -> half(bytes.getShort(2 * index).toInt() and 0xffff)
    }

    /** Put a number at an index, as the element type rounds or cuts it. */
    operator fun set(index: Int, value: Number) {
        when (dtype) {
            "float32" -> bytes.putFloat(4 * index, value.toFloat())
            "float64" -> bytes.putDouble(8 * index, value.toDouble())
            "int64" -> bytes.putLong(8 * index, value.toLong())
            "int32" -> bytes.putInt(4 * index, value.toInt())
            "int16" -> bytes.putShort(2 * index, value.toShort())
            "int8", "uint8", "bool" -> bytes.put(index, value.toByte())
            else -> throw IllegalArgumentException("a tensor of $dtype is filled from its bytes")
        }
    }

    fun numbers() = DoubleArray(size) { get(it) }

    /** Whether both hold the same bits. */
    fun sameAs(other: Tensor) = dtype == other.dtype && shape.contentEquals(other.shape) &&
        bytes.duplicate().rewind() == other.bytes.duplicate().rewind()

    /** The same memory as ONNX Runtime's tensor; close it. */
    fun asOnnx(environment: OrtEnvironment): OnnxTensor {
        val memory = bytes.duplicate().order(ByteOrder.nativeOrder())
        return when (dtype) {
            "float32" -> OnnxTensor.createTensor(environment, memory.asFloatBuffer(), shape)
            "float64" -> OnnxTensor.createTensor(environment, memory.asDoubleBuffer(), shape)
            "int64" -> OnnxTensor.createTensor(environment, memory.asLongBuffer(), shape)
            "int32" -> OnnxTensor.createTensor(environment, memory.asIntBuffer(), shape)
            "int16" -> OnnxTensor.createTensor(environment, memory.asShortBuffer(), shape)
            else -> OnnxTensor.createTensor(environment, memory, shape, JAVA_TYPES.getValue(dtype))
        }
    }

    companion object {
        fun zeros(dtype: String, shape: LongArray): Tensor {
            val count = shape.fold(1L) { product, size -> product * size }.toInt()
            val memory = ByteBuffer.allocateDirect(count * widthOf(dtype))
            return Tensor(dtype, shape, memory.order(ByteOrder.LITTLE_ENDIAN))
        }

        /** What ONNX Runtime answered, copied. */
        fun of(answer: OnnxTensor, spec: TensorSpec): Tensor {
            val copy = zeros(spec.dtype, answer.info.shape)
            copy.bytes.duplicate().put(answer.byteBuffer)
            return copy
        }

        /** Numbers that JSON holds in nested arrays. */
        fun of(json: Any, spec: TensorSpec): Tensor {
            val flat = mutableListOf<Number>()
            flatten(json, flat)
            val tensor = zeros(spec.dtype, spec.shape)
            require(flat.size == tensor.size) {
                "${spec.name} has ${flat.size} numbers, not ${tensor.size}"
            }
            flat.forEachIndexed { index, value -> tensor[index] = value }
            return tensor
        }

        /** The numbers in nested arrays, row by row. */
        internal fun flatten(json: Any, into: MutableList<Number>) {
            when (json) {
                is JSONArray -> for (index in 0 until json.length()) flatten(json.get(index), into)
                is Boolean -> into.add(if (json) 1 else 0)
                is Number -> into.add(json)
                else -> throw IllegalArgumentException("$json is no number")
            }
        }

        private fun widthOf(dtype: String) = when (dtype) {
            "float64", "int64" -> 8
            "float32", "int32" -> 4
            "float16", "int16" -> 2
            "int8", "uint8", "bool" -> 1
            else -> throw IllegalArgumentException("no tensors of $dtype")
        }

        private val JAVA_TYPES = mapOf(
            "float16" to OnnxJavaType.FLOAT16,
            "int8" to OnnxJavaType.INT8,
            "uint8" to OnnxJavaType.UINT8,
            "bool" to OnnxJavaType.BOOL,
        )

        /** IEEE 754 binary16; Android's own Half needs API 26. */
        private fun half(bits: Int): Double {
            val sign = if (bits and 0x8000 == 0) 1.0 else -1.0
            val exponent = bits shr 10 and 0x1f
            val fraction = bits and 0x3ff
            return sign * when (exponent) {
                0 -> fraction * Math.scalb(1.0, -24)
                31 -> if (fraction == 0) Double.POSITIVE_INFINITY else Double.NaN
                else -> (1024 + fraction) * Math.scalb(1.0, exponent - 25)
            }
        }
    }
}
