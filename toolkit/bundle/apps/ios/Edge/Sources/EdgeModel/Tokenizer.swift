import Foundation

#if canImport(CTokenizer)
import CTokenizer
#endif

/// Token ids with the segment that each belongs to.
struct Tokens {
    let ids: [Int32]
    let types: [Int32]

    /// At most `longest` tokens of a text or of a pair, special ones included.
    init(_ first: String, _ second: String?, longest: Int) throws {
        #if canImport(CTokenizer)
        var ids = [Int32](repeating: 0, count: longest)
        var types = ids
        let one = Array(first.utf8CString) // with a NUL behind it, which is not counted
        let two = second.map { Array($0.utf8CString) }
        let count: Int32
        if let two {
            count = edge_tokens(
                one, one.count - 1, two, two.count - 1, Int32(longest), &ids, &types)
        } else {
            count = edge_tokens(one, one.count - 1, nil, 0, Int32(longest), &ids, &types)
        }
        guard count != -3 else {
            throw EdgeError("the special tokens alone are more than the \(longest) that are kept")
        }
        guard count >= 0 else { throw EdgeError("no memory for the tokens of a text") }
        self.ids = Array(ids.prefix(Int(count)))
        self.types = Array(types.prefix(Int(count)))
        #else
        throw EdgeError("this model takes no texts")
        #endif
    }
}
