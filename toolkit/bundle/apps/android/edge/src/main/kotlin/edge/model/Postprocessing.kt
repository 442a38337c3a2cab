package edge.model

import kotlin.math.abs
import kotlin.math.exp
import org.json.JSONArray
import org.json.JSONObject

/** Probability from which one of several labels counts as given. */
private const val DECIDED = 0.5

/** The result of one item's outputs, in the words of the package's task. */
fun decode(task: TaskSpec, outputs: Map<String, Tensor>): JSONObject {
    val answer = outputs[task.output]?.numbers()
    if (answer == null || task.name == "tensors") {
        val all = outputs.mapValues { (_, tensor) -> JSONArray(tensor.numbers().toList()) }
        return JSONObject().put("outputs", JSONObject(all))
    }
    if (task.name == "feature-extraction") {
        return JSONObject().put("embedding", JSONArray(answer.toList()))
    }
    if (task.labels.isEmpty()) {
        return JSONObject().put("value", if (task.isExponential) exp(answer[0]) else answer[0])
    }
    val shares = probabilities(task, answer)
    val best = shares.indices.maxByOrNull { shares[it] } ?: 0
    val scores = JSONObject()
    task.labels.forEachIndexed { index, label -> scores.put(label, shares[index]) }
    val result = JSONObject()
    result.put("label", task.labels[best]).put("score", shares[best]).put("scores", scores)
    if (task.isMultiLabel) {
        val given = task.labels.filterIndexed { index, _ -> shares[index] >= DECIDED }
        result.put("labels", JSONArray(given))
    }
    return result
}

private fun probabilities(task: TaskSpec, logits: DoubleArray): List<Double> =
    when (task.activation) {
        "softmax" -> {
            val largest = logits.max()
            val powers = logits.map { exp(it - largest) }
            powers.map { it / powers.sum() }
        }
        "sigmoid" ->
            if (task.isMultiLabel) {
                logits.map(::sigmoid)
            } else {
                listOf(sigmoid(-logits[0]), sigmoid(logits[0])) // the negative class comes first
            }
        else -> logits.toList()
    }

private fun sigmoid(logit: Double): Double {
    val power = exp(-abs(logit)) // at most 1, whatever the logit
    return if (logit >= 0) 1 / (1 + power) else power / (1 + power)
}
