import Foundation

/// What went wrong, in words for people.
public struct EdgeError: LocalizedError {
    public let errorDescription: String?

    init(_ problem: String) { errorDescription = problem }
}

/// Any JSON: items of the reference cases, and results.
public enum JSON: Codable, Equatable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    public init(from decoder: Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let one = try? value.decode(Bool.self) {
            self = .bool(one)
        } else if let one = try? value.decode(Int64.self) {
            self = .integer(one)
        } else if let one = try? value.decode(Double.self) {
            self = .number(one)
        } else if let one = try? value.decode(String.self) {
            self = .string(one)
        } else if let one = try? value.decode([JSON].self) {
            self = .array(one)
        } else {
            self = .object(try value.decode([String: JSON].self))
        }
    }

    public func encode(to encoder: Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let one): try value.encode(one)
        case .integer(let one): try value.encode(one)
        case .number(let one): try value.encode(one)
        case .string(let one): try value.encode(one)
        case .array(let one): try value.encode(one)
        case .object(let one): try value.encode(one)
        }
    }

    /// The text of a table's cell.
    var text: String {
        switch self {
        case .string(let one): return one
        case .integer(let one): return String(one)
        case .number(let one): return String(one)
        default: return ""
        }
    }

    /// Whether it may name one of a column's levels: a text, or a number as people write it.
    var isLevel: Bool {
        switch self {
        case .string, .integer, .number: return true
        default: return false
        }
    }

    /// The numbers in nested arrays, row by row.
    func flat() throws -> [Double] {
        switch self {
        case .integer(let one): return [Double(one)]
        case .number(let one): return [one]
        case .bool(let one): return [one ? 1 : 0]
        case .array(let many): return try many.flatMap { try $0.flat() }
        default: throw EdgeError("\(self) is no number")
        }
    }

    /// The JSON for people.
    public var pretty: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}

/// `model/model.json`.
public struct Document: Decodable {
    public struct Spec: Decodable {
        public let name: String
        public let dtype: String
        public let shape: [Int]
    }

    public struct Task: Decodable {
        let name: String
        let labels: [String]
        let output: String
        let activation: String
        let multi_label: Bool
        let value_transform: String
    }

    public struct Text: Decodable {
        let max_length: Int
        let length: Int
        let pad_id: Int64
        let inputs: [String: String]
    }

    struct Column: Decodable {
        let type: String
        let name: String
        let fill: Double?
        let levels: [String]?
        let unknown: String?
    }

    struct Image: Decodable {
        let scale: Float
        let mean: [Float]
        let std: [Float]
    }

    struct Stored: Decodable {
        let name: String
        let dtype: String
        let shape: [Int]
        let offset: Int
        let bytes: Int

        func tensor(in file: Data) -> Tensor {
            let start = file.startIndex + offset
            return Tensor(dtype: dtype, shape: shape, data: Data(file[start..<start + bytes]))
        }
    }

    public struct Case: Decodable {
        public let item: JSON?
        let inputs: [Stored]
        let outputs: [Stored]
        let result: JSON?
    }

    public struct SelfTestPart: Decodable {
        let limit: Double
        let file: String
        public let cases: [Case]
    }

    public let name: String
    public let variant: String
    public let graph: String
    public let files: [String: String]
    public let task: Task
    public let inputs: [Spec]
    public let outputs: [Spec]
    public let text: Text?
    let columns: [Column]?
    let image: Image?
    let session_options: [String: String]
    public let self_test: SelfTestPart
}
