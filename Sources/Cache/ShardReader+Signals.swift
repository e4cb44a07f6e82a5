import CKernels

/// The parts of a record that need more than rows of one array.
extension ShardReader {
    /// Checks the shapes of arrays whose rows are not the shard's.
    static func checkSignals(
        _ readers: [String: ArrayReader],
        rows: Int,
        _ description: CacheDescription,
        path: String
    ) throws {
        let signals = description.signals
        func require(_ name: String, rows: Int) throws {
            guard readers[name]?.layout.rows == rows else {
                throw CacheError.corrupt(path, "'\(name)' has not \(rows) rows")
            }
        }
        if signals.hiddenType == .int8 {
            let groups = (rows + CacheSignals.rowsOfAScale - 1) / CacheSignals.rowsOfAScale
            for name in [ShardFormat.hidden] + signals.hiddenLayers.map(ShardFormat.layer) {
                try require(ShardFormat.channelScale(name), rows: groups)
            }
        }
        if signals.samples > 0 {
            try require(ShardFormat.sampleOffsets, rows: rows + 1)
            try require(
                ShardFormat.sampleCounts,
                rows: readers[ShardFormat.sampleIDs]?.layout.rows ?? 0
            )
        }
    }

    /// Rows of an array as finite floats.
    func floats(_ name: String, rows: Range<Int>, record: Int) throws -> [Float] {
        let values = try reader(name).floats(rows: rows)
        guard ck_count_nonfinite(values, values.count) == 0 else {
            throw CacheError.corrupt(path, "record \(record): '\(name)' is not finite")
        }
        return values
    }

    /// Rows of hidden states, from whatever they are stored as.
    func hidden(_ name: String, rows: Range<Int>, record: Int) throws -> [Float] {
        guard description.signals.hiddenType == .int8 else {
            return try floats(name, rows: rows, record: record)
        }
        let width = description.teacher.hiddenSize
        let values: [Int8] = try reader(name).integers(rows: rows)
        let scales = try floats(ShardFormat.rowScale(name), rows: rows, record: record)
        let size = CacheSignals.rowsOfAScale
        let firstGroup = rows.lowerBound / size
        let channels = try floats(
            ShardFormat.channelScale(name),
            rows: firstGroup..<(rows.upperBound + size - 1) / size,
            record: record
        )
        guard scales.allSatisfy({ $0 >= 0 }), channels.allSatisfy({ $0 > 0 }) else {
            throw CacheError.corrupt(path, "record \(record): a scale of '\(name)' is negative")
        }
        let result = [Float](unsafeUninitializedCapacity: values.count) { out, count in
            channels.withUnsafeBufferPointer { channels in
                values.withUnsafeBufferPointer { values in
                    guard let out = out.baseAddress, let q = values.baseAddress,
                        let channels = channels.baseAddress
                    else { return }
                    for (i, scale) in scales.enumerated() {
                        let group = (rows.lowerBound + i) / size - firstGroup
                        ck_dequantize_row(
                            q + i * width,
                            channels + group * width,
                            scale,
                            out + i * width,
                            width
                        )
                    }
                }
            }
            count = values.count
        }
        guard ck_count_nonfinite(result, result.count) == 0 else {
            throw CacheError.corrupt(
                path,
                "record \(record): the scales of '\(name)' are too large"
            )
        }
        return result
    }

    /// The tokens drawn for some rows.
    func samples(rows: Range<Int>, record: Int) throws -> SampledTokens {
        let stored: [UInt64] = try reader(ShardFormat.sampleOffsets).integers(
            rows: rows.lowerBound..<rows.upperBound + 1
        )
        let ids = try reader(ShardFormat.sampleIDs)
        let draws = description.signals.samples
        guard let first = stored.first, let last = stored.last, first <= last,
            last <= UInt64(ids.layout.rows), last - first <= UInt64(rows.count * draws),
            stored.allSatisfy({ $0 >= first && $0 <= last })
        else {
            throw CacheError.corrupt(
                path,
                "record \(record): '\(ShardFormat.sampleOffsets)' is not in order"
            )
        }
        let entries = Int(first)..<Int(last)
        let result = SampledTokens(
            offsets: stored.map { Int($0 - first) },
            ids: try ids.integers(rows: entries),
            counts: try reader(ShardFormat.sampleCounts).integers(rows: entries)
        )
        let fault = result.fault(
            rows: rows.count,
            draws: draws,
            vocabulary: description.teacher.vocabularySize
        )
        if let fault { throw CacheError.corrupt(path, "record \(record): \(fault)") }
        return result
    }
}

extension CacheDescription {
    /// Refuses a request for what a cache so described does not have.
    func require(_ extra: ExtraSignals, path: String) throws {
        guard let missing = extra.missing(in: signals) else { return }
        throw CacheError(
            .missing,
            path: path,
            "the cache has no \(missing)",
            remedy: "Extract into another directory with that setting."
        )
    }
}
