package edge.model

import kotlin.math.abs
import kotlin.math.exp
import org.json.JSONArray
import org.json.JSONObject

/** Probability from which one of several labels counts as given. */
internal const val DECIDED = 0.5

/** The output that has a vector for each token, those of the padding included. */
private const val STATES = "last_hidden_state"

/** The result of one item's [feeds] and outputs, in the words of the package's task. */
fun decode(
    document: Document,
    outputs: Map<String, Tensor>,
    feeds: Map<String, Tensor>,
): JSONObject {
    val task = document.task
    val tensor = outputs[task.output]
    if (tensor == null || task.name == "tensors") {
        val all = outputs.mapValues { (_, one) -> JSONArray(one.numbers().toList()) }
        return JSONObject().put("outputs", JSONObject(all))
    }
    val answer = tensor.numbers()
    if (task.name == "feature-extraction") {
        val rows = nested(answer.toList(), tensor.shape.drop(1))
        val mask = feeds.entries.find { document.text?.inputs?.get(it.key) == "attention_mask" }
        if (task.output != STATES || mask == null) return JSONObject().put("embedding", rows)
        val tokens = mask.value.numbers().sum().toInt()
        return JSONObject().put("embedding", JSONArray(List(tokens) { rows.get(it) }))
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

/** Numbers in arrays of these sizes. */
private fun nested(numbers: List<Double>, shape: List<Long>): JSONArray {
    if (shape.size <= 1) return JSONArray(numbers)
    val parts = numbers.chunked(numbers.size / shape[0].toInt())
    return JSONArray(parts.map { nested(it, shape.drop(1)) })
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
