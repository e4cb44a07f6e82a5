import Foundation

extension CacheExporter {
    /// Below the export's directory.
    private func file(of id: String) -> String {
        let ending = options.format == .safetensors ? ".safetensors" : ""
        return "\(Self.examplesName)/\(id)\(ending)"
    }

    /// Gives `body` the chosen examples, shard by shard; false from it ends the walk.
    private func walk(_ body: (ShardReader, Int) throws -> Bool) throws -> Bool {
        let wanted = options.ids.map(Set.init)
        var left = min(options.limit ?? Int.max, wanted?.count ?? Int.max)
        for entry in reader.manifest.shards where left > 0 {
            if let split = options.split, entry.splits[split] ?? 0 == 0 { continue }
            let shard = try reader.shard(entry.index)
            for record in 0..<shard.recordCount where left > 0 {
                if let split = options.split, shard.splits[record] != split { continue }
                if let wanted, !wanted.contains(shard.ids[record]) { continue }
                left -= 1
                guard try body(shard, record) else { return false }
            }
        }
        return true
    }

    /// Refuses ids that the cache, or the split, does not have, before anything is written.
    ///
    /// - Returns: False when it was stopped.
    func checkIDs(_ shouldStop: () -> Bool) throws -> Bool {
        guard let ids = options.ids else { return true }
        var missing = Set(ids)
        for index in 0..<reader.shardCount where !missing.isEmpty {
            if shouldStop() { return false }
            let shard = try reader.shard(index)
            for (id, split) in zip(shard.ids, shard.splits) where options.split ?? split == split {
                missing.remove(id)
            }
        }
        guard let first = ids.first(where: missing.contains) else { return true }
        let place = options.split.map { "the split '\($0)'" } ?? "the cache"
        throw CacheError(
            .corrupt,
            path: reader.directory.path,
            "\(place) has no example \(first)\(missing.count > 1 ? ", nor \(missing.count - 1) others asked for" : "")",
            remedy: "Take ids that `retort cache export` lists in index.jsonl, or leave them out."
        )
    }

    /// Writes the examples that are not there.
    ///
    /// - Returns: False when it was stopped.
    func writeExamples(_ progress: (Int, Int) -> Void, _ shouldStop: () -> Bool) throws -> Bool {
        let manifest = reader.manifest
        let inSplit = options.split.map { reader.recordCount(split: $0) }
        let all = inSplit ?? manifest.shards.reduce(0) { $0 + $1.records }
        let total = min(all, options.limit ?? Int.max, options.ids.map { Set($0).count } ?? Int.max)
        var seen: Set<String> = []
        var batch = ExportBatch(in: output.appendingPathComponent(Self.examplesName))
        // What is whole is kept, whatever ends the walk.
        defer { try? batch.commit() }
        let isDone = try walk { shard, number in
            if shouldStop() { return false }
            let id = shard.ids[number]
            guard seen.insert(id).inserted else {
                throw CacheError.corrupt(shard.path, "example \(id) is in the cache twice")
            }
            let url = output.appendingPathComponent(file(of: id))
            if !FileManager.default.fileExists(atPath: url.path) {
                written.bytes += try add(try record(number, of: shard), to: &batch, as: url)
                written.written += 1
            }
            written.examples += 1
            if batch.isFull { try batch.commit() }
            progress(written.examples, total)
            return true
        }
        try batch.commit()
        return isDone
    }

    private func record(_ number: Int, of shard: ShardReader) throws -> CacheRecord {
        let signals = reader.manifest.description.signals
        return try shard.record(
            number,
            extra: ExtraSignals(
                hiddenLayers: signals.hiddenLayers,
                samples: signals.samples > 0,
                fullLogits: signals.fullLogits != nil,
                allPositions: signals.positions == .all
            )
        )
    }

    private func add(
        _ record: CacheRecord,
        to batch: inout ExportBatch,
        as url: URL
    ) throws -> Int {
        let description = reader.manifest.description
        let tensors = record.exportTensors(description)
        let metadata = [
            "id": record.id, "split": record.split, "prompt": record.prompt,
            "input": record.input, "response": record.response,
            "positions": description.signals.positions.rawValue,
            "teacher": description.teacher.name, "made_by": "retort cache export",
        ]
        switch options.format {
        case .safetensors:
            return try batch.add(
                url,
                fill: try SafetensorsExport.fill(tensors, metadata: metadata, path: url.path)
            )
        case .npy:
            return try batch.add(
                url,
                files: try NumpyExport.files(tensors, metadata: metadata, url: url)
            )
        }
    }

    /// The head, the embedding rows that the cache keeps, and the tokenizer's files.
    func writeTeacher() throws {
        let teacher = reader.manifest.description.teacher
        let url = output.appendingPathComponent("teacher.safetensors")
        if !FileManager.default.fileExists(atPath: url.path) {
            let head = try reader.teacherHead()
            let (ids, rows) = try reader.teacherEmbedding()
            var metadata = [
                "teacher": teacher.name, "logit_scale": "\(try reader.logitScale())",
                "made_by": "retort cache export",
            ]
            if let cap = teacher.logitSoftCap { metadata["logit_soft_cap"] = "\(cap)" }
            let fill = try SafetensorsExport.fill(
                [
                    ExportTensor(
                        TeacherFormat.head,
                        [head.rows, head.columns],
                        head.values,
                        as: .f32
                    ),
                    ExportTensor(TeacherFormat.embeddingIDs, [ids.count], ids: ids),
                    ExportTensor(
                        TeacherFormat.embeddingRows,
                        [ids.count, teacher.hiddenSize],
                        rows,
                        as: .f32
                    ),
                ],
                metadata: metadata,
                path: url.path
            )
            try DurableFile.make(url) { descriptor in
                let size = try fill(descriptor)
                written.bytes += size
                return size
            }
        }
        let folder = output.appendingPathComponent("tokenizer")
        try ExportFolder.make(folder)
        try ExportFolder.clean(folder)
        // Names are plain: the reader refuses others.
        for (name, data) in try reader.tokenizerFiles().sorted(by: { $0.key < $1.key }) {
            let url = folder.appendingPathComponent(name)
            guard !FileManager.default.fileExists(atPath: url.path) else { continue }
            try DurableFile.write([UInt8](data), to: url)
            written.bytes += data.count
        }
    }

    /// Writes `index.jsonl`, a line for each example, in the cache's order.
    func writeIndex() throws {
        let url = output.appendingPathComponent(Self.indexName)
        let hasAllRows = reader.manifest.description.signals.positions == .all
        try DurableFile.make(url) { descriptor in
            var size = 0
            var lines: [UInt8] = []
            func flush() throws {
                try DurableFile.writeAll(lines, to: descriptor, path: url.path)
                size += lines.count
                lines.removeAll(keepingCapacity: true)
            }
            _ = try walk { shard, number in
                let line = IndexLine(
                    id: shard.ids[number],
                    split: shard.splits[number],
                    file: file(of: shard.ids[number]),
                    tokens: shard.lengths[number],
                    rows: hasAllRows ? shard.lengths[number] : shard.rowCounts[number]
                )
                lines += try canonicalJSON(line, lines: false)
                if lines.count >= 1 << 16 { try flush() }
                return true
            }
            try flush()
            return size
        }
    }
}
