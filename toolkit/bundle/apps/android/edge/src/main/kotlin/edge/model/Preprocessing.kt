package edge.model

import org.json.JSONArray
import org.json.JSONObject

/** Token ids of a text, or of a pair of texts, with the segment that each belongs to. */
class Tokens(val ids: IntArray, val types: IntArray)

/** Cuts texts into tokens. */
interface Tokenizer {
    /** At most [longest] tokens, special ones included. */
    fun encode(first: String, second: String?, longest: Int): Tokens
}

/** Makes the tensors of one item: a text, a pair of texts, a row, pixels, or tensors by name. */
class Preprocessing(private val document: Document, private val tokenizer: Tokenizer?) {
    /**
     * The graph's inputs.
     *
     * [item] is a String, a pair in a List or JSONArray, or a JSONObject: {column: value} for rows,
     * {input: nested arrays} for tensors. Pixels are a ByteArray or nested arrays of 0 to 255, row by
     * row, of the graph's size, with its channels or gray.
     */
    fun encode(item: Any): Map<String, Tensor> {
        val text = document.text
        val image = document.image
        return when {
            text != null -> tokens(item, text)
            document.columns != null -> row(item as JSONObject, document.columns)
            image != null && item is ByteArray -> mapOf(document.inputs[0].name to pixels(item, image))
            image != null && item is JSONArray -> encode(bytesOf(item))
            else -> document.inputs.associate { spec ->
                spec.name to Tensor.of((item as JSONObject).get(spec.name), spec)
            }
        }
    }

    private fun tokens(item: Any, text: TextSpec): Map<String, Tensor> {
        val texts = when (item) {
            is JSONArray -> item.strings()
            is List<*> -> item.map { it as String }
            else -> listOf(item as String)
        }
        val found = checkNotNull(tokenizer).encode(texts[0], texts.getOrNull(1), text.maxLength)
        val length = maxOf(text.length, found.ids.size, 1)
        return document.inputs.associate { spec ->
            val field = text.inputs.getValue(spec.name)
            val tensor = Tensor.zeros(spec.dtype, longArrayOf(1, length.toLong()))
            for (index in 0 until length) {
                val isToken = index < found.ids.size
                tensor[index] = when (field) {
                    "ids" -> if (isToken) found.ids[index] else text.padId
                    "attention_mask" -> if (isToken) 1 else 0
                    else -> if (isToken) found.types[index] else 0
                }
            }
            spec.name to tensor
        }
    }

    private fun row(item: JSONObject, columns: List<JSONObject>): Map<String, Tensor> {
        val numeric = mutableListOf<Double>()
        val categorical = mutableListOf<Int>()
        for (column in columns) {
            val name = column.getString("name")
            val cell = item.get(name)
            if (column.getString("type") == "numeric") {
                val isEmpty = cell == JSONObject.NULL || cell == ""
                val value = if (isEmpty && !column.isNull("fill")) column.get("fill") else cell
                val number = value.toString().toDoubleOrNull()
                require(number != null && number.isFinite()) { "$name is $cell, no finite number" }
                numeric.add(number)
            } else {
                val levels = column.getJSONArray("levels").strings()
                // Python's words for these are others: they would pass for an unknown level.
                require(cell !is Boolean && cell != JSONObject.NULL) { "$name is $cell, no level" }
                val level = levels.indexOf(cell.toString())
                require(level >= 0 || column.getString("unknown") == "other") {
                    "$name is $cell, none of $levels"
                }
                categorical.add(if (level >= 0) level else levels.size)
            }
        }
        return document.inputs.associate { spec ->
            val values: List<Number> = if (spec.name == "numeric") numeric else categorical
            val tensor = Tensor.zeros(spec.dtype, longArrayOf(1, values.size.toLong()))
            values.forEachIndexed { index, value -> tensor[index] = value }
            spec.name to tensor
        }
    }

    private fun bytesOf(pixels: JSONArray): ByteArray {
        val flat = mutableListOf<Number>()
        Tensor.flatten(pixels, flat)
        require(flat.all { it.toDouble() in 0.0..255.0 }) { "pixels are not all 0 to 255" }
        return ByteArray(flat.size) { flat[it].toInt().toByte() }
    }

    /**
     * float32[1, channels, height, width], as the graph takes it, of uint8[height, width, channels]
     * or of the gray uint8[height, width], which becomes every channel.
     */
    private fun pixels(item: ByteArray, image: ImageSpec): Tensor {
        val (_, channels, height, width) = document.inputs[0].shape.map(Long::toInt)
        val area = height * width
        val given = if (item.size == area) 1 else channels
        require(item.size == area * given) {
            "${item.size} bytes are no image of $height x $width pixels with $channels channels"
        }
        val tensor = Tensor.zeros("float32", document.inputs[0].shape)
        for (pixel in 0 until area) for (channel in 0 until channels) {
            val place = pixel * given + if (given == 1) 0 else channel
            var value = (item[place].toInt() and 0xff) * image.scale
            if (image.mean.isNotEmpty()) value -= image.mean[channel]
            if (image.std.isNotEmpty()) value /= image.std[channel]
            tensor[channel * area + pixel] = value
        }
        return tensor
    }
}
