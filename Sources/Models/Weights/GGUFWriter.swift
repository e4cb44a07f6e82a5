import CKernels
import Foundation

/// A value of a GGUF file's metadata, as it is written.
public enum GGUFEntry: Sendable, Equatable {
    /// Counts and ids.
    case u32(UInt32)
    /// A number with a point.
    case f32(Float)
    /// True or false.
    case bool(Bool)
    /// Text.
    case string(String)
    /// An array of texts.
    case strings([String])
    /// An array of numbers with a point.
    case f32s([Float])
    /// An array of whole numbers.
    case i32s([Int32])

    /// Type number, and for arrays that of the elements.
    fileprivate var typeNumbers: [UInt32] {
        switch self {
        case .u32: [4]
        case .f32: [6]
        case .bool: [7]
        case .string: [8]
        case .strings: [9, 8]
        case .f32s: [9, 6]
        case .i32s: [9, 5]
        }
    }
}

/// A tensor of a GGUF file, as it is written.
struct GGUFTensor {
    let name: String
    /// Row-major, as in PyTorch.
    let shape: [Int]
    /// `f32`, `f16` or `q8_0`.
    let type: WeightType
    /// Calls its argument with the numbers, whole rows at a time.
    let forEachStrip: ((UnsafeBufferPointer<Float>) throws -> Void) throws -> Void
}

/// Writes GGUF version 3, little-endian (github.com/ggml-org/ggml, docs/gguf.md).
///
/// Tensors are streamed. The file appears under its name only when it is whole and on the disk.
struct GGUFWriter {
    static let alignment = 32

    private var bytes: [UInt8] = []

    /// - Throws: `ModelError`: `mismatch` (a tensor's numbers), `unsupported` (a type; numbers that it cannot
    ///   hold), `io`, and what reading the tensors throws.
    static func write(
        _ entries: [(key: String, value: GGUFEntry)],
        _ tensors: [GGUFTensor],
        to url: URL,
        using write: @escaping AtomicFile.Write = AtomicFile.systemWrite
    ) throws {
        let head = try head(entries, tensors, path: url.path)
        var file = try AtomicFile(url, write: write)
        try head.withUnsafeBytes { try file.append($0) }
        for tensor in tensors {
            var left = tensor.shape.reduce(1, *)
            try tensor.forEachStrip { values in
                left -= values.count
                try check(values, tensor, path: url.path)
                if tensor.type == .q8_0 {
                    try appendBlocks(values, to: &file)
                } else {
                    try file.append(values, as: tensor.type)
                }
            }
            guard left == 0 else {
                throw ModelError(.mismatch, path: url.path, "\(tensor.name) has other numbers")
            }
            let bytes = tensor.type.byteCount(shape: tensor.shape) ?? 0
            let padding = [UInt8](repeating: 0, count: -bytes & (alignment - 1))
            try padding.withUnsafeBytes { try file.append($0) }
        }
        try file.commit()
    }

    /// Everything before the tensors' numbers.
    private static func head(
        _ entries: [(key: String, value: GGUFEntry)],
        _ tensors: [GGUFTensor],
        path: String
    ) throws -> [UInt8] {
        var writer = GGUFWriter()
        writer.bytes += Array("GGUF".utf8)
        writer.add(UInt32(3))
        writer.add(UInt64(tensors.count))
        writer.add(UInt64(entries.count))
        for (key, value) in entries {
            writer.add(key)
            for number in value.typeNumbers { writer.add(number) }
            writer.add(value)
        }
        var offset = 0
        for tensor in tensors {
            guard let number = tensor.type.ggufNumber,
                let bytes = tensor.type.byteCount(shape: tensor.shape)
            else {
                throw ModelError(
                    .unsupported,
                    path: path,
                    "tensor \(tensor.name) of shape \(tensor.shape) as \(tensor.type.rawValue)",
                    remedy: "Choose f32, f16 or q8_0."
                )
            }
            writer.add(tensor.name)
            writer.add(UInt32(tensor.shape.count))
            for size in tensor.shape.reversed() { writer.add(UInt64(size)) }
            writer.add(number)
            writer.add(UInt64(offset))
            offset += (bytes + alignment - 1) & ~(alignment - 1)
        }
        let padding = -writer.bytes.count & (alignment - 1)
        return writer.bytes + [UInt8](repeating: 0, count: padding)
    }

    private mutating func add<Number: FixedWidthInteger>(_ number: Number) {
        withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
    }

    private mutating func add(_ text: String) {
        add(UInt64(text.utf8.count))
        bytes += text.utf8
    }

    private mutating func add(_ value: GGUFEntry) {
        switch value {
        case .u32(let number): add(number)
        case .f32(let number): add(number.bitPattern)
        case .bool(let flag): add(UInt8(flag ? 1 : 0))
        case .string(let text): add(text)
        case .strings(let texts):
            add(UInt64(texts.count))
            for text in texts { add(text) }
        case .f32s(let numbers):
            add(UInt64(numbers.count))
            for number in numbers { add(number.bitPattern) }
        case .i32s(let numbers):
            add(UInt64(numbers.count))
            for number in numbers { add(number) }
        }
    }

    private static func check(
        _ values: UnsafeBufferPointer<Float>,
        _ tensor: GGUFTensor,
        path: String
    ) throws {
        let largest = ck_largest_magnitude(values.baseAddress, values.count)
        // A block's largest value over 127 is a half.
        let limit: Float =
            switch tensor.type {
            case .f16: 65_504
            case .q8_0: 127 * 65_504
            default: .infinity
            }
        guard tensor.type == .f32 || largest <= limit else {
            throw ModelError(
                .unsupported,
                path: path,
                "\(tensor.name) holds \(largest), which \(tensor.type.rawValue) cannot",
                remedy: "Choose f32."
            )
        }
    }

    private static func appendBlocks(
        _ values: UnsafeBufferPointer<Float>,
        to file: inout AtomicFile
    ) throws {
        guard let source = values.baseAddress else { return }
        let perPiece = 1 << 11
        let count = values.count / 32
        var piece = [UInt8](repeating: 0, count: min(count, perPiece) * 34)
        for first in stride(from: 0, to: count, by: perPiece) {
            let blocks = min(perPiece, count - first)
            try piece.withUnsafeMutableBytes { bytes in
                ck_quantize_q8_0(source + first * 32, bytes.baseAddress, blocks)
                try file.append(UnsafeRawBufferPointer(rebasing: bytes[..<(blocks * 34)]))
            }
        }
    }
}
