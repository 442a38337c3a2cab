package edge.model

import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import ai.onnxruntime.OrtSession.SessionOptions
import java.io.File
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import org.json.JSONArray
import org.json.JSONObject

/** The folder `model/`: assets of an app, or a directory. */
interface ModelFiles {
    /** The content of a file, not copied where that can be avoided. */
    fun content(name: String): ByteBuffer

    /** A session of a graph. */
    fun session(environment: OrtEnvironment, graph: String, settings: SessionOptions): OrtSession
}

/** `model/` as a directory, such as one that the app has fetched. */
class DirectoryFiles(private val folder: File) : ModelFiles {
    override fun content(name: String): ByteBuffer = RandomAccessFile(File(folder, name), "r").use {
        it.channel.map(FileChannel.MapMode.READ_ONLY, 0, it.length())
    }

    override fun session(environment: OrtEnvironment, graph: String, settings: SessionOptions): OrtSession =
        environment.createSession(File(folder, graph).path, settings)
}

/** Name, element type (numpy's word) and sizes of a tensor. */
class TensorSpec(val name: String, val dtype: String, val shape: LongArray)

/** How texts become token ids, of `text` in the document. */
class TextSpec(json: JSONObject) {
    val tokenizer: String = json.getString("tokenizer")
    val maxLength = json.getInt("max_length")
    val length = json.getInt("length")
    val padId = json.getLong("pad_id")
    val inputs: Map<String, String> = json.getJSONObject("inputs").let { fields ->
        fields.keys().asSequence().associateWith { fields.getString(it) }
    }
}

/** How pixels become a tensor, of `image` in the document. */
class ImageSpec(json: JSONObject) {
    val scale = json.getDouble("scale").toFloat()
    val mean = json.getJSONArray("mean").floats()
    val std = json.getJSONArray("std").floats()
}

/** What the output means, of `task` in the document. */
class TaskSpec(json: JSONObject) {
    val name: String = json.getString("name")
    val labels: List<String> = json.getJSONArray("labels").strings()
    val output: String = json.getString("output")
    val activation: String = json.getString("activation")
    val isMultiLabel = json.getBoolean("multi_label")
    val isExponential = json.getString("value_transform") == "exp"
}

/** One reference case: what went in and came out where the bundle was made, and what it meant. */
class Case(
    val item: Any?,
    val inputs: Map<String, Tensor>,
    val outputs: Map<String, Tensor>,
    val result: JSONObject?,
)

/** `model/model.json`. */
class Document(private val files: ModelFiles) {
    private val json = JSONObject(Charsets.UTF_8.decode(files.content("model.json")).toString())

    val name: String = json.getString("name")
    val variant: String = json.getString("variant")
    val graph: String = json.getString("graph")
    val task = TaskSpec(json.getJSONObject("task"))
    val inputs: List<TensorSpec> = json.getJSONArray("inputs").objects().map(::spec)
    val outputs: List<TensorSpec> = json.getJSONArray("outputs").objects().map(::spec)
    val text: TextSpec? = json.optJSONObject("text")?.let(::TextSpec)
    val columns: List<JSONObject>? = json.optJSONArray("columns")?.objects()
    val image: ImageSpec? = json.optJSONObject("image")?.let(::ImageSpec)
    val hashes: Map<String, String> = json.getJSONObject("files").texts()
    val sessionOptions: Map<String, String> = json.getJSONObject("session_options").texts()
    val limit: Double = json.getJSONObject("self_test").getDouble("limit")

    /** The reference cases, read when they are asked for. */
    val cases: List<Case> by lazy {
        val test = json.getJSONObject("self_test")
        val stored = files.content(test.getString("file"))
        test.getJSONArray("cases").objects().map { case ->
            Case(
                item = case.opt("item").takeUnless { it == JSONObject.NULL },
                inputs = case.getJSONArray("inputs").objects().associate { tensor(it, stored) },
                outputs = case.getJSONArray("outputs").objects().associate { tensor(it, stored) },
                result = case.optJSONObject("result"),
            )
        }
    }

    private fun spec(json: JSONObject) =
        TensorSpec(json.getString("name"), json.getString("dtype"), json.getJSONArray("shape").longs())

    private fun tensor(json: JSONObject, stored: ByteBuffer): Pair<String, Tensor> {
        val start = json.getInt("offset")
        val part = stored.duplicate()
        part.limit(start + json.getInt("bytes")).position(start)
        val copy = Tensor.zeros(json.getString("dtype"), json.getJSONArray("shape").longs())
        copy.bytes.duplicate().put(part)
        return json.getString("name") to copy
    }
}

internal fun JSONArray.objects(): List<JSONObject> = List(length()) { getJSONObject(it) }

internal fun JSONArray.strings(): List<String> = List(length()) { getString(it) }

private fun JSONArray.longs() = LongArray(length()) { getLong(it) }

private fun JSONArray.floats() = FloatArray(length()) { getDouble(it).toFloat() }

private fun JSONObject.texts(): Map<String, String> =
    keys().asSequence().associateWith { getString(it) }
