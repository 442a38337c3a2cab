package edge.model

import java.security.MessageDigest
import kotlin.math.abs
import org.json.JSONObject

/** How the self-test ended; [problems] is empty where it passed. */
class SelfTest(
    val cases: Int,
    val largestDifference: Double,
    val limit: Double,
    val problems: List<String>,
    val ranOn: String,
) {
    val passed: Boolean get() = problems.isEmpty()

    fun asJson(): JSONObject = JSONObject()
        .put("passed", passed)
        .put("cases", cases)
        .put("largest_difference", largestDifference)
        .put("limit", limit)
        .put("runtime", ranOn)

    override fun toString(): String {
        val said = "largest difference %.2g (limit %.2g), %d cases".format(largestDifference, limit, cases)
        return (listOf(if (passed) "passed" else "FAILED", said, ranOn) + problems).joinToString("\n")
    }

    companion object {
        /** Compare files, pre- and postprocessing and answers with the machine that made the bundle. */
        fun run(model: Model, files: ModelFiles): SelfTest {
            val document = model.document
            val problems = mutableListOf<String>()
            for ((name, expected) in document.hashes) {
                if (sha256(files, name) != expected) problems.add("$name was changed")
            }
            var largest = 0.0
            document.cases.forEachIndexed { index, case ->
                if (case.item != null) {
                    val made = model.encode(case.item)
                    val isSame = case.inputs.all { (name, tensor) -> made[name]?.sameAs(tensor) == true }
                    if (!isSame) problems.add("case ${index + 1}: preprocessing makes other inputs")
                }
                if (case.result != null) {
                    val made = decode(document, case.outputs, case.inputs)
                    if (!sameResult(case.result, made)) {
                        problems.add("case ${index + 1}: postprocessing makes another result")
                    }
                }
                val outputs = model.run(case.inputs)
                for ((name, expected) in case.outputs) {
                    largest = maxOf(largest, difference(expected, outputs.getValue(name)))
                }
            }
            if (largest > document.limit) problems.add("the answers differ")
            return SelfTest(document.cases.size, largest, document.limit, problems, model.ranOn)
        }

        private fun difference(expected: Tensor, found: Tensor): Double {
            if (expected.size != found.size) return Double.MAX_VALUE
            var largest = 0.0
            for (index in 0 until expected.size) {
                val one = abs(expected[index] - found[index])
                largest = maxOf(largest, if (one.isFinite()) one else Double.MAX_VALUE)
            }
            return largest
        }

        private fun sha256(files: ModelFiles, name: String): String {
            val digest = MessageDigest.getInstance("SHA-256")
            digest.update(files.content(name))
            return digest.digest().joinToString("") { "%02x".format(it) }
        }
    }
}
