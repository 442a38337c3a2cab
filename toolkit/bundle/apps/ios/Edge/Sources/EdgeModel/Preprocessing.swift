import Foundation

extension Document {
    /// The graph's inputs for one item: a text, an array of two texts, an object {column: value} for
    /// rows, nested arrays of 0 to 255 for pixels (with the graph's channels, or gray), or an object {input: nested arrays}.
    func encode(_ item: JSON) throws -> [String: Tensor] {
        if let text { return try tokens(item, text) }
        if let columns { return try row(item, columns) }
        if let image, case .array = item {
            return [inputs[0].name: try pixels(try item.flat(), image)]
        }
        guard case .object(let values) = item else { throw EdgeError("expected {input: numbers}") }
        return try Dictionary(uniqueKeysWithValues: inputs.map { spec in
            guard let value = values[spec.name] else { throw EdgeError("no input \(spec.name)") }
            return (spec.name, try Tensor(try value.flat(), as: spec))
        })
    }

    private func tokens(_ item: JSON, _ text: Text) throws -> [String: Tensor] {
        var texts: [String] = []
        if case .array(let pair) = item { texts = pair.map(\.text) } else { texts = [item.text] }
        let second = texts.count > 1 ? texts[1] : nil
        let found = try Tokens(texts[0], second, longest: text.max_length)
        let length = max(text.length, found.ids.count, 1)
        let padding = length - found.ids.count
        return try Dictionary(uniqueKeysWithValues: inputs.map { spec in
            let made: [Double]
            var filler = 0.0
            switch text.inputs[spec.name] {
            case "ids":
                made = found.ids.map(Double.init)
                filler = Double(text.pad_id)
            case "attention_mask": made = found.ids.map { _ in 1 }
            default: made = found.types.map(Double.init)
            }
            let row = made + [Double](repeating: filler, count: padding)
            let sized = Spec(name: spec.name, dtype: spec.dtype, shape: [1, length])
            return (spec.name, try Tensor(row, as: sized))
        })
    }

    private func row(_ item: JSON, _ columns: [Column]) throws -> [String: Tensor] {
        guard case .object(let cells) = item else { throw EdgeError("expected {column: value}") }
        var numeric: [Double] = []
        var categorical: [Double] = []
        for column in columns {
            guard let cell = cells[column.name] else { throw EdgeError("no column \(column.name)") }
            if column.type == "numeric" {
                if cell.text.isEmpty, let fill = column.fill {
                    numeric.append(fill)
                } else if let value = Double(cell.text), value.isFinite {
                    numeric.append(value)
                } else {
                    throw EdgeError("\(column.name) is \(cell.text), no finite number")
                }
            } else if !cell.isLevel {
                throw EdgeError("\(column.name) is \(cell), no level")
            } else if let level = column.levels?.firstIndex(of: cell.text) {
                categorical.append(Double(level))
            } else if column.unknown == "other" {
                categorical.append(Double(column.levels?.count ?? 0))
            } else {
                throw EdgeError("\(column.name) is none of \(column.levels ?? [])")
            }
        }
        return try Dictionary(uniqueKeysWithValues: inputs.map { spec in
            (spec.name, try Tensor(spec.name == "numeric" ? numeric : categorical, as: spec))
        })
    }

    /// float32[1, channels, height, width], as the graph takes it, of uint8[height, width, channels]
    /// or of the gray uint8[height, width], which becomes every channel.
    private func pixels(_ values: [Double], _ image: Image) throws -> Tensor {
        let (channels, height, width) = (inputs[0].shape[1], inputs[0].shape[2], inputs[0].shape[3])
        let area = height * width
        let given = values.count == area ? 1 : channels
        guard values.count == area * given else {
            throw EdgeError(
                "\(values.count) values are no image of \(height) x \(width) pixels with "
                    + "\(channels) channels")
        }
        guard values.allSatisfy({ (0...255).contains($0) }) else {
            throw EdgeError("pixels are not all 0 to 255")
        }
        var planes = [Double](repeating: 0, count: channels * area)
        for pixel in 0..<area {
            for channel in 0..<channels {
                let place = pixel * given + (given == 1 ? 0 : channel)
                var value = Float(values[place].rounded(.towardZero)) * image.scale
                if !image.mean.isEmpty { value -= image.mean[channel] }
                if !image.std.isEmpty { value /= image.std[channel] }
                planes[channel * area + pixel] = Double(value)
            }
        }
        return try Tensor(planes, as: inputs[0])
    }
}
