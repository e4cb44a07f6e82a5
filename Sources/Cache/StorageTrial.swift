import CKernels

/// What rows of one signal cost when they are packed as in a shard, and what a reader gets back of
/// them; nothing is written.
///
/// Rows may come in any portions, but all at once for int8: those of one call share their channel scales.
/// Memory: some chunks. One thread at a time.
public final class StorageTrial {
    /// A way to store something of the teacher.
    public enum Signal: Hashable, Sendable {
        /// Hidden states of D numbers.
        case hidden(CacheSignals.HiddenType)
        /// The k most likely tokens, with log-partition.
        case topK(Int)
        /// Drawn tokens, with log-partition.
        case samples
        /// Whole rows of V log-probabilities, with log-partition.
        case fullLogits(CacheSignals.LogitType)
    }

    /// Bytes for all rows so far.
    public struct Bytes: Equatable, Sendable {
        /// Those of the elements.
        public var raw = 0
        /// Those of the chunks packed with LZ4.
        public var stored = 0
        /// Those of the chunks packed with deflate.
        public var deflated = 0
    }

    /// What is stored.
    public let signal: Signal
    private let width: Int
    private var arrays: [String: PackedSize] = [:]
    private var samplesEnd = 0

    /// - Parameter width: D of hidden states, V of full logits; of no use for the others.
    public init(_ signal: Signal, width: Int = 0) {
        self.signal = signal
        self.width = width
        switch signal {
        case .hidden(let type):
            add(ShardFormat.hidden, type.element, columns: width)
            guard type == .int8 else { return }
            add(ShardFormat.channelScale(ShardFormat.hidden), .f32, columns: width)
            add(ShardFormat.rowScale(ShardFormat.hidden), .bf16)
        case .topK(let k):
            add(ShardFormat.topKIDs, .u32, columns: k)
            add(ShardFormat.topKLogProbs, .f16, columns: k)
            add(ShardFormat.logPartition, .f32)
        case .samples:
            add(ShardFormat.sampleOffsets, .u64)
            add(ShardFormat.sampleIDs, .u32)
            add(ShardFormat.sampleCounts, .u16)
            add(ShardFormat.logPartition, .f32)
        case .fullLogits(let type):
            let element: ElementType = type == .f16 ? .f16 : .bf16
            add(ShardFormat.fullLogProbs, element, columns: width, splitsRows: true)
            add(ShardFormat.logPartition, .f32)
        }
    }

    /// Stores rows (n, D) of hidden states, n at most `CacheSignals.rowsOfAScale` for int8.
    ///
    /// - Returns: (n, D) as they are read; nil when a number is beyond the type (f16: 65,504).
    public func hidden(_ rows: [Float]) throws -> [Float]? {
        guard case .hidden(let type) = signal else { preconditionFailure("a trial of \(signal)") }
        switch type {
        case .f32:
            try append(ShardFormat.hidden, rows)
            return rows
        case .f16:
            return try halves(ShardFormat.hidden, rows, ck_f32_to_f16, ck_f16_to_f32)
        case .bf16:
            return try halves(ShardFormat.hidden, rows, ck_to_bf16, ck_from_bf16)
        case .int8:
            return try int8(rows)
        }
    }

    /// Stores rows (n, k) of most likely tokens.
    ///
    /// - Returns: (n, k) the log-probabilities as they are read; infinite where f16 has no room for one, of
    ///   which a shard could not be made.
    public func topK(_ ids: [UInt32], logProbs: [Float], logPartitions: [Float]) throws -> [Float] {
        guard case .topK(let k) = signal else { preconditionFailure("a trial of \(signal)") }
        precondition(ids.count == k * logPartitions.count && logProbs.count == ids.count)
        try append(ShardFormat.topKIDs, ids)
        try append(ShardFormat.logPartition, logPartitions)
        let (stored, read) = Self.rounded(logProbs, ck_f32_to_f16, ck_f16_to_f32)
        try append(ShardFormat.topKLogProbs, stored)
        return read
    }

    /// Stores the drawn tokens of n rows, which are read as they are.
    public func samples(_ samples: SampledTokens, logPartitions: [Float]) throws {
        guard case .samples = signal else { preconditionFailure("a trial of \(signal)") }
        let ends = samples.offsets.dropFirst().map { UInt64(samplesEnd + $0) }
        precondition(ends.count == logPartitions.count)
        if samplesEnd == 0 { try append(ShardFormat.sampleOffsets, [UInt64(0)]) }
        samplesEnd += samples.ids.count
        try append(ShardFormat.sampleOffsets, ends)
        try append(ShardFormat.sampleIDs, samples.ids)
        try append(ShardFormat.sampleCounts, samples.counts)
        try append(ShardFormat.logPartition, logPartitions)
    }

    /// Stores rows (n, V) of log-probabilities, which become what is read.
    ///
    /// - Returns: False when one is beyond the type: a shard could not be made of them.
    public func fullLogits(
        _ rows: UnsafeMutableBufferPointer<Float>,
        logPartitions: [Float]
    ) throws -> Bool {
        guard case .fullLogits(let type) = signal else {
            preconditionFailure("a trial of \(signal)")
        }
        precondition(rows.count == width * logPartitions.count)
        guard let start = rows.baseAddress else { return true }
        let stored = [UInt16](unsafeUninitializedCapacity: rows.count) { out, count in
            guard let to = out.baseAddress else { return }
            (type == .f16 ? ck_f32_to_f16 : ck_to_bf16)(start, to, rows.count)
            count = rows.count
        }
        (type == .f16 ? ck_f16_to_f32 : ck_from_bf16)(stored, start, rows.count)
        try append(ShardFormat.fullLogProbs, stored)
        try append(ShardFormat.logPartition, logPartitions)
        return ck_count_nonfinite(start, rows.count) == 0
    }

    /// Packs what is left.
    ///
    /// - Returns: The bytes of all rows. Indices of chunks, checksums and HDF5's structure are not in them.
    public func finish() throws -> Bytes {
        var bytes = Bytes()
        for name in arrays.keys.sorted() {
            try arrays[name]?.flush()
            bytes.raw += arrays[name]?.bytes.raw ?? 0
            bytes.stored += arrays[name]?.bytes.stored ?? 0
            bytes.deflated += arrays[name]?.bytes.deflated ?? 0
        }
        return bytes
    }

    private func int8(_ rows: [Float]) throws -> [Float]? {
        precondition(
            rows.count <= CacheSignals.rowsOfAScale * width,
            "more rows than share a scale"
        )
        var waiting = Int8Rows(width: width)
        let groups = waiting.append(rows) + [waiting.finish()].compactMap { $0 }
        var result: [Float] = []
        for group in groups {
            try append(ShardFormat.hidden, group.values)
            try append(ShardFormat.channelScale(ShardFormat.hidden), group.channelScales)
            try append(ShardFormat.rowScale(ShardFormat.hidden), group.rowScales)
            var row = [Float](repeating: 0, count: width)
            for (index, scale) in group.rowScales.enumerated() {
                let factor = Float(bitPattern: UInt32(scale) << 16)
                group.values.withUnsafeBufferPointer { values in
                    guard let q = values.baseAddress else { return }
                    ck_dequantize_row(q + index * width, group.channelScales, factor, &row, width)
                }
                result += row
            }
        }
        return result
    }

    private typealias Narrow = (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void
    private typealias Widen = (UnsafePointer<UInt16>, UnsafeMutablePointer<Float>, Int) -> Void

    private func halves(
        _ name: String,
        _ values: [Float],
        _ narrow: Narrow,
        _ widen: Widen
    ) throws -> [Float]? {
        let (stored, read) = Self.rounded(values, narrow, widen)
        guard ck_count_nonfinite(read, read.count) == 0 else { return nil }
        try append(name, stored)
        return read
    }

    private static func rounded(
        _ values: [Float],
        _ narrow: Narrow,
        _ widen: Widen
    ) -> (stored: [UInt16], read: [Float]) {
        var stored = [UInt16](repeating: 0, count: values.count)
        narrow(values, &stored, values.count)
        var read = [Float](repeating: 0, count: values.count)
        widen(stored, &read, values.count)
        return (stored, read)
    }

    private func add(
        _ name: String,
        _ type: ElementType,
        columns: Int? = nil,
        splitsRows: Bool = false
    ) {
        arrays[name] = PackedSize {
            ArrayBuilder(
                name,
                type,
                columns: columns,
                splitsRows: splitsRows,
                candidates: ChunkCodec.candidates($0, type)
            )
        }
    }

    private func append<T: BitwiseCopyable>(_ name: String, _ values: [T]) throws {
        try arrays[name]?.append(values)
    }
}

/// Adds up what the chunks of an array take, packed in either way, and drops them.
private struct PackedSize {
    private let make: (CacheCompression) -> ArrayBuilder
    private var builders: [ArrayBuilder]
    private(set) var bytes = StorageTrial.Bytes()

    /// Chunks packed in one go.
    private static let chunks = 16

    init(_ make: @escaping (CacheCompression) -> ArrayBuilder) {
        self.make = make
        builders = Self.new(make)
    }

    private static func new(_ make: (CacheCompression) -> ArrayBuilder) -> [ArrayBuilder] {
        [make(.lz4), make(.deflate)]
    }

    mutating func append<T: BitwiseCopyable>(_ values: [T]) throws {
        bytes.raw += values.count * MemoryLayout<T>.stride
        let columns = builders[0].columns ?? 1
        var start = 0
        while start < values.count {
            // Whole chunks at a time, so that none is filled up with zeros but the last.
            let room = (Self.chunks * builders[0].chunkRows - builders[0].rows) * columns
            let end = min(values.count, start + room)
            for i in builders.indices { builders[i].append(Array(values[start..<end])) }
            start = end
            if builders[0].rows >= Self.chunks * builders[0].chunkRows { try flush() }
        }
    }

    mutating func flush() throws {
        guard builders[0].rows > 0 else { return }
        let sizes = try builders.indices.map { i in
            let array = builders[i].finish()
            return try array.chunks(0..<array.chunkCount).reduce(0) { $0 + $1.bytes.count }
        }
        bytes.stored += sizes[0]
        bytes.deflated += sizes[1]
        builders = Self.new(make)
    }
}
