import Foundation

/// Probability from which one of several labels counts as given.
let decided = 0.5

/// The output that has a vector for each token, those of the padding included.
private let states = "last_hidden_state"

extension Document {
    /// The result of one item's feeds and outputs, in the words of the package's task.
    func decode(_ outputs: [String: Tensor], _ feeds: [String: Tensor]) -> JSON {
        guard task.name != "tensors", let tensor = outputs[task.output] else {
            return .object(["outputs": .object(outputs.mapValues { numbers($0.numbers) })])
        }
        let answer = tensor.numbers
        if task.name == "feature-extraction" {
            let rows = nested(answer[...], tensor.shape.dropFirst())
            let mask = text?.inputs.first { $0.value == "attention_mask" }.flatMap { feeds[$0.key] }
            guard task.output == states, let mask, case .array(let vectors) = rows else {
                return .object(["embedding": rows])
            }
            let tokens = Int(mask.numbers.reduce(0, +))
            return .object(["embedding": .array(Array(vectors.prefix(tokens)))])
        }
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

    /// Numbers in arrays of these sizes.
    private func nested(_ values: ArraySlice<Double>, _ shape: ArraySlice<Int>) -> JSON {
        guard shape.count > 1, let count = shape.first, count > 0 else { return numbers(Array(values)) }
        let width = values.count / count
        return .array((0..<count).map { row in
            let start = values.startIndex + row * width
            return nested(values[start..<start + width], shape.dropFirst())
        })
    }

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
