import Foundation

/// How far numbers of two results may be apart, times the number but at least 1.
private let limit = 1e-3

extension JSON {
    /// Whether two results of the same outputs say the same: the limit covers how numbers are
    /// rounded.
    func saysTheSame(as expected: JSON) -> Bool {
        guard case .object(let wanted) = expected, case .object(let found) = self,
            Set(wanted.keys) == Set(found.keys)
        else { return false }
        return wanted.allSatisfy { name, value in
            guard let made = found[name] else { return false }
            switch name {
            case "label": // of two that are equal either may come first
                guard let best = expected["score"]?.double,
                    let score = expected.score(of: made.text)
                else { return false }
                return score >= best - limit
            case "labels": return expected.certain(value) == expected.certain(made)
            default: return made.isClose(to: value)
            }
        }
    }

    private subscript(name: String) -> JSON? {
        if case .object(let values) = self { return values[name] }
        return nil
    }

    private var double: Double? {
        switch self {
        case .integer(let one): return Double(one)
        case .number(let one): return one
        default: return nil
        }
    }

    private func score(of label: String) -> Double? { self["scores"]?[label]?.double }

    /// Labels without those that are close to the threshold in this result.
    private func certain(_ labels: JSON) -> [String] {
        guard case .array(let all) = labels else { return [] }
        return all.map(\.text).filter { abs((score(of: $0) ?? .infinity) - decided) > limit }
    }

    private func isClose(to expected: JSON) -> Bool {
        if let wanted = expected.double {
            guard let found = double else { return false }
            return abs(wanted - found) <= limit * max(1, abs(wanted))
        }
        switch (expected, self) {
        case (.array(let wanted), .array(let found)):
            return wanted.count == found.count
                && zip(wanted, found).allSatisfy { $1.isClose(to: $0) }
        case (.object(let wanted), .object(let found)):
            return Set(wanted.keys) == Set(found.keys)
                && wanted.allSatisfy { name, value in found[name]?.isClose(to: value) ?? false }
        default: return self == expected
        }
    }
}
