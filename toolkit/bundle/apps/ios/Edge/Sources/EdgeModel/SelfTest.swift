import CryptoKit
import Foundation

/// How the self-test ended; `problems` is empty where it passed.
public struct SelfTest {
    public let cases: Int
    public let largestDifference: Double
    public let limit: Double
    public let problems: [String]
    public let ranOn: String

    public var passed: Bool { problems.isEmpty }

    /// The lines for people.
    public var summary: String {
        let said = String(
            format: "largest difference %.2g (limit %.2g), %d cases", largestDifference, limit, cases)
        return ([passed ? "passed" : "FAILED", said, ranOn] + problems).joined(separator: "\n")
    }

    /// Compares files, pre- and postprocessing and answers with the machine that made the bundle.
    public static func run(_ model: Model) throws -> SelfTest {
        let document = model.document
        var problems: [String] = []
        for (name, expected) in document.files {
            let content = try Data(contentsOf: model.folder.appendingPathComponent(name))
            let digest = SHA256.hash(data: content).map { String(format: "%02x", $0) }.joined()
            if digest != expected { problems.append("\(name) was changed") }
        }
        let file = model.folder.appendingPathComponent(document.self_test.file)
        let stored = try Data(contentsOf: file)
        var largest = 0.0
        for (index, one) in document.self_test.cases.enumerated() {
            let feeds = tensors(one.inputs, in: stored)
            if let item = one.item, item != .null, try document.encode(item) != feeds {
                problems.append("case \(index + 1): preprocessing makes other inputs")
            }
            let wanted = tensors(one.outputs, in: stored)
            if let result = one.result, result != .null,
                !document.decode(wanted, feeds).saysTheSame(as: result) {
                problems.append("case \(index + 1): postprocessing makes another result")
            }
            let outputs = try model.run(feeds)
            for (name, expected) in wanted {
                largest = max(largest, difference(expected.numbers, outputs[name]?.numbers ?? []))
            }
        }
        if largest > document.self_test.limit { problems.append("the answers differ") }
        return SelfTest(
            cases: document.self_test.cases.count, largestDifference: largest,
            limit: document.self_test.limit, problems: problems, ranOn: model.ranOn)
    }

    private static func tensors(_ specs: [Document.Stored], in file: Data) -> [String: Tensor] {
        Dictionary(uniqueKeysWithValues: specs.map { ($0.name, $0.tensor(in: file)) })
    }

    /// Of two lists of numbers; infinite where one is longer, or an element is not a number.
    private static func difference(_ expected: [Double], _ found: [Double]) -> Double {
        guard expected.count == found.count else { return .infinity }
        return zip(expected, found).reduce(0) { largest, pair in
            let one = abs(pair.0 - pair.1)
            return max(largest, one.isFinite ? one : .infinity)
        }
    }
}
