import Foundation

/// Numbers of one element type (numpy's word), row by row, little-endian as every iPhone is.
public struct Tensor: Equatable {
    public let dtype: String
    public let shape: [Int]
    public private(set) var data: Data

    init(dtype: String, shape: [Int], data: Data) {
        self.dtype = dtype
        self.shape = shape
        self.data = data
    }

    /// Numbers as the element type rounds or cuts them.
    init(_ values: [Double], as spec: Document.Spec) throws {
        let count = spec.shape.reduce(1, *)
        guard values.count == count else {
            throw EdgeError("\(spec.name) has \(values.count) numbers, not \(count)")
        }
        var data = Data()
        switch spec.dtype {
        case "float32": for one in values { data.append(bytes: Float(one)) }
        case "int8": for one in values { data.append(bytes: try whole(one, spec) as Int8) }
        case "uint8": for one in values { data.append(bytes: try whole(one, spec) as UInt8) }
        case "int32": for one in values { data.append(bytes: try whole(one, spec) as Int32) }
        case "uint32": for one in values { data.append(bytes: try whole(one, spec) as UInt32) }
        case "int64": for one in values { data.append(bytes: try whole(one, spec) as Int64) }
        case "uint64": for one in values { data.append(bytes: try whole(one, spec) as UInt64) }
        default: throw EdgeError("no tensors of \(spec.dtype)")
        }
        self.init(dtype: spec.dtype, shape: spec.shape, data: data)
    }

    public var numbers: [Double] {
        switch dtype {
        case "float32": return read(Float.self).map(Double.init)
        case "int8": return read(Int8.self).map(Double.init)
        case "uint8": return read(UInt8.self).map(Double.init)
        case "int32": return read(Int32.self).map(Double.init)
        case "uint32": return read(UInt32.self).map(Double.init)
        case "int64": return read(Int64.self).map(Double.init)
        case "uint64": return read(UInt64.self).map(Double.init)
        default: return []
        }
    }

    private func read<Element>(_ type: Element.Type) -> [Element] {
        let width = MemoryLayout<Element>.size
        return data.withUnsafeBytes { memory in
            (0..<memory.count / width).map {
                memory.loadUnaligned(fromByteOffset: $0 * width, as: type)
            }
        }
    }
}

/// A number cut to a whole one. What the type cannot hold is an error: Swift's own conversion would end
/// the app.
private func whole<Element: FixedWidthInteger>(
    _ value: Double, _ spec: Document.Spec
) throws -> Element {
    guard let made = Element(exactly: value.rounded(.towardZero)) else {
        throw EdgeError("\(spec.name) has \(value), which is no \(spec.dtype)")
    }
    return made
}

extension Data {
    fileprivate mutating func append<Element>(bytes value: Element) {
        Swift.withUnsafeBytes(of: value) { append(contentsOf: $0) }
    }
}
