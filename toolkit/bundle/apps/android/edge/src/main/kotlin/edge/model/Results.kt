package edge.model

import kotlin.math.abs
import kotlin.math.max
import org.json.JSONArray
import org.json.JSONObject

/** How far numbers of two results may be apart, times the number but at least 1. */
private const val LIMIT = 1e-3

/** Whether two results of the same outputs say the same: the limit covers how numbers are rounded. */
internal fun sameResult(expected: JSONObject, found: JSONObject): Boolean {
    if (expected.keySetOf() != found.keySetOf()) return false
    return expected.keys().asSequence().all { name ->
        when (name) {
            "label" -> scoreOf(expected, found.getString(name)) >= expected.getDouble("score") - LIMIT
            "labels" -> decided(expected) == decided(expected, found)
            else -> same(expected.get(name), found.get(name))
        }
    }
}

private fun JSONObject.keySetOf(): Set<String> = keys().asSequence().toSet()

private fun scoreOf(result: JSONObject, label: String): Double =
    result.getJSONObject("scores").optDouble(label, Double.NEGATIVE_INFINITY)

/** The labels that [result] gives, without those that [expected] has close to the threshold. */
private fun decided(expected: JSONObject, result: JSONObject = expected): List<String> =
    result.getJSONArray("labels").strings().filter { abs(scoreOf(expected, it) - DECIDED) > LIMIT }

private fun same(expected: Any, found: Any): Boolean = when (expected) {
    is Number -> {
        val wanted = expected.toDouble()
        found is Number && abs(wanted - found.toDouble()) <= LIMIT * max(1.0, abs(wanted))
    }
    is JSONArray -> found is JSONArray && expected.length() == found.length() &&
        (0 until expected.length()).all { same(expected.get(it), found.get(it)) }
    is JSONObject -> found is JSONObject && expected.keySetOf() == found.keySetOf() &&
        expected.keys().asSequence().all { same(expected.get(it), found.get(it)) }
    else -> expected == found
}
