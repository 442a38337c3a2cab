package edge.model

import ai.onnxruntime.OrtSession.SessionOptions
import ai.onnxruntime.providers.NNAPIFlags
import java.io.File
import java.util.EnumSet
import org.json.JSONArray

/** Where the graph is asked to run. */
enum class Provider(val ortName: String) {
    CPU("CPUExecutionProvider"),
    XNNPACK("XnnpackExecutionProvider"),

    /** Android's own; no longer developed since Android 15, and for fixed shapes alone. */
    NNAPI("NnapiExecutionProvider"),
}

/**
 * How a session is made.
 *
 * [provider] runs what it takes, the CPU the rest. [threads] are those of the CPU or of XNNPACK; 0
 * lets ONNX Runtime choose. [halfPrecision] lets NNAPI compute in float16. [nnapiOnCpu] lets it use
 * its own reference code where no accelerator takes an operator, which is slower than ONNX
 * Runtime's.
 */
class Options(
    val provider: Provider = Provider.XNNPACK,
    val threads: Int = 0,
    val halfPrecision: Boolean = false,
    val nnapiOnCpu: Boolean = false,
) {
    internal fun apply(settings: SessionOptions) {
        when (provider) {
            Provider.CPU -> settings.setIntraOpNumThreads(threads)
            Provider.XNNPACK -> {
                val count = if (threads > 0) threads else Runtime.getRuntime().availableProcessors()
                settings.addXnnpack(mapOf("intra_op_num_threads" to count.toString()))
                // XNNPACK has threads of its own, which must not compete with ONNX Runtime's.
                settings.setIntraOpNumThreads(1)
                settings.addConfigEntry("session.intra_op.allow_spinning", "0")
            }
            Provider.NNAPI -> {
                val flags = EnumSet.noneOf(NNAPIFlags::class.java)
                if (halfPrecision) flags.add(NNAPIFlags.USE_FP16)
                if (!nnapiOnCpu) flags.add(NNAPIFlags.CPU_DISABLED)
                settings.addNnapi(flags)
                settings.setIntraOpNumThreads(threads)
            }
        }
    }
}

/**
 * Nodes that each provider ran, of ONNX Runtime's profile of one run.
 *
 * What NNAPI takes counts as one node for each piece of the graph.
 */
internal fun placementOf(profile: File): Map<String, Int> {
    val events = JSONArray(profile.readText()).objects()
    val nodes = mutableMapOf<String, MutableSet<String>>()
    for (event in events) {
        val name = event.optString("name")
        val provider = event.optJSONObject("args")?.optString("provider").orEmpty()
        if (provider.isNotEmpty() && name.endsWith("_kernel_time")) {
            nodes.getOrPut(provider) { mutableSetOf() }.add(name)
        }
    }
    return nodes.mapValues { it.value.size }
}
