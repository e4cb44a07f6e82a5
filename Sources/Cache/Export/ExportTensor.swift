import CKernels
import Foundation

/// A named array on its way into a file of another format.
struct ExportTensor {
    /// Element types, in the words of safetensors and of NumPy.
    enum Element {
        case bf16, f16, f32, i32, i64

        var size: Int {
            switch self {
            case .bf16, .f16: 2
            case .f32, .i32: 4
            case .i64: 8
            }
        }

        var safetensors: String {
            switch self {
            case .bf16: "BF16"
            case .f16: "F16"
            case .f32: "F32"
            case .i32: "I32"
            case .i64: "I64"
            }
        }

        /// NumPy has no bf16, and floats of that type are stored as f32.
        var numpy: String {
            switch self {
            case .bf16, .f32: "<f4"
            case .f16: "<f2"
            case .i32: "<i4"
            case .i64: "<i8"
            }
        }
    }

    enum Values {
        case floats([Float])
        case int32s([Int32])
        case int64s([Int64])
    }

    let name: String
    let shape: [Int]
    let element: Element
    let values: Values

    /// Floats, rounded to `element` when they are written; they are stored values, so that nothing
    /// is lost by it.
    init(_ name: String, _ shape: [Int], _ floats: [Float], as element: Element) {
        (self.name, self.shape, self.element, values) = (name, shape, element, .floats(floats))
    }

    /// Ids: below 2^24 by the format, so that they fit the integers that every framework has.
    init(_ name: String, _ shape: [Int], ids: some Sequence<UInt32>) {
        (self.name, self.shape, element) = (name, shape, .i32)
        values = .int32s(ids.map { Int32(bitPattern: $0) })
    }

    init(_ name: String, _ shape: [Int], _ integers: [Int64]) {
        (self.name, self.shape, element, values) = (name, shape, .i64, .int64s(integers))
    }

    var count: Int { shape.reduce(1, *) }

    /// Elements converted at a time.
    private static let pieceLength = 1 << 16

    /// Gives `write` the elements as little-endian bytes, piece by piece.
    func forEachPiece(as element: Element, _ write: (UnsafeRawBufferPointer) throws -> Void) throws
    {
        switch values {
        case .int32s(let values): try values.withUnsafeBytes(write)
        case .int64s(let values): try values.withUnsafeBytes(write)
        case .floats(let values) where element == .f32: try values.withUnsafeBytes(write)
        case .floats(let values):
            let convert = element == .f16 ? ck_f32_to_f16 : ck_to_bf16
            var piece = [UInt16](repeating: 0, count: min(values.count, Self.pieceLength))
            for start in stride(from: 0, to: values.count, by: Self.pieceLength) {
                let count = min(Self.pieceLength, values.count - start)
                values.withUnsafeBufferPointer { source in
                    guard let base = source.baseAddress else { return }
                    convert(base + start, &piece, count)
                }
                try piece.withUnsafeBytes {
                    try write(UnsafeRawBufferPointer(rebasing: $0[..<(2 * count)]))
                }
            }
        }
    }
}

extension CacheRecord {
    /// Every array of the record, under the names that the shard has for them.
    ///
    /// Hidden states of int8 caches are given as the floats that they stand for.
    func exportTensors(_ description: CacheDescription) -> [ExportTensor] {
        let signals = description.signals
        let (width, k) = (description.teacher.hiddenSize, description.topK)
        let hiddenElement: ExportTensor.Element =
            switch signals.hiddenType {
            case .bf16: .bf16
            case .f16: .f16
            case .f32, .int8: .f32
            }
        var result = [
            ExportTensor(ShardFormat.tokenIDs, [tokenIDs.count], ids: tokenIDs),
            ExportTensor(
                ShardFormat.supervised,
                [2],
                ids: [UInt32(supervised.lowerBound), UInt32(supervised.upperBound)]
            ),
            ExportTensor(ShardFormat.hidden, [rows, width], hidden, as: hiddenElement),
        ]
        for (layer, values) in layers.sorted(by: { $0.key < $1.key }) {
            let name = ShardFormat.layer(layer)
            result.append(ExportTensor(name, [rows, width], values, as: hiddenElement))
        }
        if k > 0 {
            result += [
                ExportTensor(ShardFormat.topKIDs, [rows, k], ids: topKIDs),
                ExportTensor(ShardFormat.topKLogProbs, [rows, k], topKLogProbs, as: .f16),
            ]
        }
        if description.hasLogits {
            result.append(ExportTensor(ShardFormat.logPartition, [rows], logPartition, as: .f32))
        }
        if signals.samples > 0 {
            let entries = samples.ids.count
            result += [
                ExportTensor(
                    ShardFormat.sampleOffsets,
                    [rows + 1],
                    samples.offsets.map { Int64($0) }
                ),
                ExportTensor(ShardFormat.sampleIDs, [entries], ids: samples.ids),
                ExportTensor(
                    ShardFormat.sampleCounts,
                    [entries],
                    ids: samples.counts.map { UInt32($0) }
                ),
            ]
        }
        if let type = signals.fullLogits {
            let shape = [rows, description.teacher.vocabularySize]
            let element: ExportTensor.Element = type == .f16 ? .f16 : .bf16
            result.append(
                ExportTensor(ShardFormat.fullLogProbs, shape, fullLogProbs, as: element)
            )
        }
        return result
    }
}
