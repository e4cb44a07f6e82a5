import CKernels
import Tensors

/// A tensor's bytes in a mapped file, and their conversion to float32.
struct StoredTensor: Sendable {
    let info: TensorInfo
    let file: MappedFile
    /// From the start of the file.
    let offset: Int

    /// Elements that one thread converts at a time: large enough to hide the cost of the hand-over
    /// (about a microsecond), small enough to share out evenly.
    private static let elementsPerPiece = 1 << 16

    /// Stored bytes that are resident at once: after that many are converted their pages are given
    /// back, so that reading a head of gigabytes takes no more memory than what it becomes.
    private static let bytesPerSlab = 16 << 20

    /// Converts `rows` into `target`; the pages that were read do not stay in memory.
    ///
    /// - Throws: `ModelError` `mismatch` for a wrong buffer or range, `unsupported` for integers.
    func read(rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) throws {
        guard rows.lowerBound >= 0, rows.upperBound <= info.rowCount else {
            throw ModelError(
                .mismatch,
                path: file.path,
                "tensor \"\(info.name)\": rows \(rows) of \(info.rowCount) were asked for"
            )
        }
        guard target.count == rows.count * info.rowLength else {
            throw ModelError(
                .mismatch,
                path: file.path,
                "tensor \"\(info.name)\": \(rows.count) rows of \(info.rowLength) need a buffer of "
                    + "\(rows.count * info.rowLength) floats, not \(target.count)"
            )
        }
        guard let convert = Self.converter(for: info.type) else {
            throw ModelError(
                .unsupported,
                path: file.path,
                "tensor \"\(info.name)\" holds \(info.type.rawValue) values, not weights"
            )
        }
        let perBlock = info.type.elementsPerBlock
        // Rows hold whole blocks, so what is asked for is one run of blocks.
        let blocksPerRow = info.rowLength / perBlock
        let bytesPerBlock = info.type.bytesPerBlock
        let blocks = rows.count * blocksPerRow
        let start = offset + rows.lowerBound * blocksPerRow * bytesPerBlock
        let perSlab = max(1, Self.bytesPerSlab / bytesPerBlock)
        for first in stride(from: 0, to: blocks, by: perSlab) {
            let count = min(perSlab, blocks - first)
            let place = start + first * bytesPerBlock
            try file.withBytes(offset: place, count: count * bytesPerBlock) { bytes in
                guard let source = bytes.baseAddress, let output = target.baseAddress else {
                    return
                }
                self.convert(source, output + first * perBlock, blocks: count, by: convert)
            }
            file.release(offset: place, count: count * bytesPerBlock)
        }
    }

    private func convert(
        _ source: UnsafeRawPointer,
        _ target: UnsafeMutablePointer<Float>,
        blocks: Int,
        by convert: Converter
    ) {
        let perBlock = info.type.elementsPerBlock
        let bytesPerBlock = info.type.bytesPerBlock
        let perPiece = max(1, Self.elementsPerPiece / perBlock)
        // Each piece reads and writes its own range, and all end before this returns.
        nonisolated(unsafe) let input = source
        nonisolated(unsafe) let output = target
        parallelEach((blocks + perPiece - 1) / perPiece) { piece in
            let first = piece * perPiece
            let count = min(perPiece, blocks - first)
            convert(input + first * bytesPerBlock, output + first * perBlock, count)
        }
    }

    private typealias Converter =
        @convention(c) @Sendable (
            UnsafeRawPointer?, UnsafeMutablePointer<Float>?, Int
        ) -> Void

    private static func converter(for type: WeightType) -> Converter? {
        switch type {
        case .f32: ck_dequantize_f32
        case .f16: ck_dequantize_f16
        case .bf16: ck_dequantize_bf16
        case .f64: ck_dequantize_f64
        case .q4_0: ck_dequantize_q4_0
        case .q4_1: ck_dequantize_q4_1
        case .q5_0: ck_dequantize_q5_0
        case .q5_1: ck_dequantize_q5_1
        case .q8_0: ck_dequantize_q8_0
        case .q2_K: ck_dequantize_q2_k
        case .q3_K: ck_dequantize_q3_k
        case .q4_K: ck_dequantize_q4_k
        case .q5_K: ck_dequantize_q5_k
        case .q6_K: ck_dequantize_q6_k
        case .i8, .i16, .i32, .i64, .u8, .u16, .u32, .u64, .bool: nil
        }
    }
}

/// A source whose tensors lie in mapped files; reading is the same for all of them.
protocol MappedWeightSource: WeightSource {
    func stored(_ name: String) -> StoredTensor?
}

extension MappedWeightSource {
    /// What is known of a tensor, nil when there is none of that name.
    public func info(_ name: String) -> TensorInfo? { stored(name)?.info }

    /// Reads a whole tensor as float32.
    public func read(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws {
        let tensor = try required(name)
        try tensor.read(rows: 0..<tensor.info.rowCount, into: target)
    }

    /// Reads some rows as float32.
    public func readRows(
        _ name: String,
        rows: Range<Int>,
        into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        try required(name).read(rows: rows, into: target)
    }

    func required(_ name: String) throws -> StoredTensor {
        guard let tensor = stored(name) else { throw missingTensor(name) }
        return tensor
    }

    /// A tensor's bytes as they are stored.
    func rawBytes(_ name: String) throws -> [UInt8] {
        let tensor = try required(name)
        return try tensor.file.withBytes(offset: tensor.offset, count: tensor.info.byteCount) {
            [UInt8]($0)
        }
    }
}
