package edge.model

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import java.io.File
import org.json.JSONObject

/** An answer, how long the graph took for it, and where it ran. */
class Answer(val result: JSONObject, val milliseconds: Double, val ranOn: String)

/**
 * The model with its pre- and post-processing. Open it away from the main thread, once; it answers
 * from as many threads as you like. Close it when nobody asks any more.
 */
class Model private constructor(
    val document: Document,
    val asked: Provider,
    tokenizer: Tokenizer?,
    private val environment: OrtEnvironment,
    private val session: OrtSession,
    /** Nodes by the provider that ran them. */
    val placement: Map<String, Int>,
    /** Why the provider that was asked for does not run the graph; null where it runs some of it. */
    val fallback: String?,
) : AutoCloseable {
    private val preprocessing = Preprocessing(document, tokenizer)

    /** In words for people: who runs how much, and why not what was asked for. */
    val ranOn: String
        get() {
            val shares = placement.map { (name, nodes) ->
                "${name.removeSuffix("ExecutionProvider")} $nodes nodes"
            }
            return shares.joinToString() + fallback?.let { "; not on $asked: $it" }.orEmpty()
        }

    /** The graph's inputs for an item; see [Preprocessing.encode]. */
    fun encode(item: Any): Map<String, Tensor> = preprocessing.encode(item)

    /** Outputs by name. */
    fun run(feeds: Map<String, Tensor>): Map<String, Tensor> =
        run(environment, session, document, feeds)

    /** The result for an item. */
    fun answer(item: Any): Answer {
        val feeds = encode(item)
        val start = System.nanoTime()
        val outputs = run(feeds)
        val milliseconds = (System.nanoTime() - start) / 1e6
        return Answer(decode(document, outputs, feeds), milliseconds, ranOn)
    }

    override fun close() = session.close()

    companion object {
        /**
         * Open the model.
         *
         * Where the provider does not start, or runs no node, the CPU runs all, and [fallback] says
         * so; [isStrict] makes that an error. [scratch] is a folder for ONNX Runtime's record of
         * the first run, which is deleted. [graph] names another file of `model/`, such as the
         * `.ort` file for a reduced build.
         */
        fun open(
            files: ModelFiles,
            scratch: File,
            options: Options = Options(),
            isStrict: Boolean = false,
            graph: String? = null,
            tokenizerOf: () -> Tokenizer,
        ): Model {
            val document = Document(files)
            val environment = OrtEnvironment.getEnvironment()
            environment.setTelemetry(false)
            val file = graph ?: document.graph
            val tokenizer = document.text?.let { tokenizerOf() }
            var why: String? = null
            var opened = try {
                Opened(environment, document, files, file, scratch, options)
            } catch (error: OrtException) {
                if (options.provider == Provider.CPU || isStrict) throw error
                why = error.message
                null
            }
            if (opened == null || opened.runsNothingOn(options.provider)) {
                why = why ?: "it takes no node of this graph"
                check(!isStrict) { "${options.provider}: $why" }
                opened?.session?.close()
                val onCpu = Options(Provider.CPU, options.threads)
                opened = Opened(environment, document, files, file, scratch, onCpu)
            }
            return Model(
                document, options.provider, tokenizer, environment, opened.session, opened.placement,
                why,
            )
        }

        internal fun run(
            environment: OrtEnvironment,
            session: OrtSession,
            document: Document,
            feeds: Map<String, Tensor>,
        ): Map<String, Tensor> {
            val tensors = mutableMapOf<String, OnnxTensor>()
            try {
                for ((name, tensor) in feeds) tensors[name] = tensor.asOnnx(environment)
                session.run(tensors).use { answers ->
                    return document.outputs.associate { spec ->
                        spec.name to Tensor.of(answers.get(spec.name).get() as OnnxTensor, spec)
                    }
                }
            } finally {
                tensors.values.forEach(OnnxTensor::close)
            }
        }
    }
}

/** A session with the record of its first run, on the inputs of the first reference case. */
private class Opened(
    environment: OrtEnvironment,
    document: Document,
    files: ModelFiles,
    graph: String,
    scratch: File,
    options: Options,
) {
    val session: OrtSession
    val placement: Map<String, Int>

    init {
        OrtSession.SessionOptions().use { settings ->
            document.sessionOptions.forEach(settings::addConfigEntry)
            options.apply(settings)
            settings.enableProfiling(File(scratch, "placement").path)
            session = files.session(environment, graph, settings)
        }
        try {
            Model.run(environment, session, document, document.cases.first().inputs)
            val profile = File(session.endProfiling())
            placement = placementOf(profile)
            profile.delete()
        } catch (error: OrtException) {
            session.close()
            throw error
        }
    }

    fun runsNothingOn(provider: Provider) = placement.getOrElse(provider.ortName) { 0 } == 0
}
