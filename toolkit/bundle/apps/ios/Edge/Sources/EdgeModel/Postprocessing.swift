import Foundation

/// Probability from which one of several labels counts as given.
private let decided = 0.5

extension Document {
    /// The result of one item's outputs, in the words of the package's task.
    func decode(_ outputs: [String: Tensor]) -> JSON {
        guard task.name != "tensors", let answer = outputs[task.output]?.numbers else {
            return .object(["outputs": .object(outputs.mapValues { numbers($0.numbers) })])
        }
        if task.name == "feature-extraction" { return .object(["embedding": numbers(answer)]) }
        if task.labels.isEmpty {
            let value = task.value_transform == "exp" ? exp(answer[0]) : answer[0]
            return .object(["value": .number(value)])
        }
        let pairs = Array(zip(task.labels, probabilities(answer)))
        let best = pairs.reduce(pairs[0]) { $1.1 > $0.1 ? $1 : $0 }
        var result: [String: JSON] = [
            "label": .string(best.0),
            "score": .number(best.1),
            "scores": .object(Dictionary(uniqueKeysWithValues: pairs.map { ($0.0, .number($0.1)) })),
        ]
        if task.multi_label {
            result["labels"] = .array(pairs.filter { $0.1 >= decided }.map { .string($0.0) })
        }
        return .object(result)
    }

    private func numbers(_ values: [Double]) -> JSON { .array(values.map { .number($0) }) }

    private func probabilities(_ logits: [Double]) -> [Double] {
        switch task.activation {
        case "softmax":
            let largest = logits.max() ?? 0
            let powers = logits.map { exp($0 - largest) }
            let total = powers.reduce(0, +)
            return powers.map { $0 / total }
        case "sigmoid":
            // Of one logit the negative class comes first.
            return (task.multi_label ? logits : [-logits[0], logits[0]]).map(sigmoid)
        default:
            return logits
        }
    }

    private func sigmoid(_ logit: Double) -> Double {
        let power = exp(-abs(logit)) // at most 1, whatever the logit
        return logit >= 0 ? 1 / (1 + power) : power / (1 + power)
    }
}
