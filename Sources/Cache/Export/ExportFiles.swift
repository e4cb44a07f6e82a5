import Foundation

/// A safetensors file.
///
/// The header is <https://github.com/huggingface/safetensors#format>'s: a length, JSON, then the
/// elements without gaps, wide ones first so that all are aligned.
enum SafetensorsExport {
    /// The longest header that the package reads.
    private static let headerLimit = 100_000_000

    static func write(
        _ tensors: [ExportTensor],
        metadata: [String: String],
        to url: URL
    ) throws -> Int {
        let ordered = tensors.enumerated().sorted {
            (-$0.element.element.size, $0.offset) < (-$1.element.element.size, $1.offset)
        }.map(\.element)
        let head = try header(ordered, metadata: metadata, path: url.path)
        let size = ordered.reduce(head.count) { $0 + $1.count * $1.element.size }
        try DurableFile.make(url) { descriptor in
            try DurableFile.reserve(size, descriptor, path: url.path, needed: size)
            try DurableFile.writeAll(head, to: descriptor, path: url.path)
            for tensor in ordered {
                try tensor.forEachPiece(as: tensor.element) {
                    try DurableFile.writeAll([UInt8]($0), to: descriptor, path: url.path)
                }
            }
            return size
        }
        return size
    }

    private struct Entry: Encodable {
        var dtype: String
        var shape: [Int]
        var offsets: [Int]

        enum CodingKeys: String, CodingKey {
            case dtype, shape
            case offsets = "data_offsets"
        }
    }

    private static func header(
        _ tensors: [ExportTensor],
        metadata: [String: String],
        path: String
    ) throws -> [UInt8] {
        var entries: [String: Entry] = [:]
        var offset = 0
        for tensor in tensors {
            let end = offset + tensor.count * tensor.element.size
            entries[tensor.name] = Entry(
                dtype: tensor.element.safetensors,
                shape: tensor.shape,
                offsets: [offset, end]
            )
            offset = end
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let texts = try encoder.encode(metadata)
        let arrays = try encoder.encode(entries)
        var json = Array("{\"__metadata__\":".utf8) + texts
        if !entries.isEmpty { json.append(UInt8(ascii: ",")) }
        json += arrays.dropFirst()
        json += repeatElement(UInt8(ascii: " "), count: (8 - json.count % 8) % 8)
        guard json.count <= headerLimit else {
            throw CacheError(
                .unsupported,
                path: path,
                "the texts make a header of \(json.count) bytes, and safetensors has room for "
                    + "\(headerLimit)",
                remedy: "Export with --format npy."
            )
        }
        return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
    }
}

/// A directory with an array a file, as NumPy loads them, and a JSON file with the rest.
enum NumpyExport {
    static let jsonName = "example.json"

    /// What `example.json` says of an array.
    private struct Entry: Encodable {
        var file: String
        var dtype: String
        var shape: [Int]
    }

    private struct Example: Encodable {
        var metadata: [String: String]
        var arrays: [String: Entry]
    }

    /// Writes the directory `url`; it gets its name when all in it is on the disk.
    static func write(
        _ tensors: [ExportTensor],
        metadata: [String: String],
        to url: URL
    ) throws -> Int {
        let temporary = DurableFile.temporaryName(for: url)
        try ExportFolder.make(temporary)
        do {
            var total = 0
            var entries: [String: Entry] = [:]
            for tensor in tensors {
                let file = tensor.name.replacing("/", with: ".") + ".npy"
                total += try write(tensor, to: temporary.appendingPathComponent(file))
                let type = tensor.element.numpy
                entries[tensor.name] = Entry(file: file, dtype: type, shape: tensor.shape)
            }
            let json = try canonicalJSON(Example(metadata: metadata, arrays: entries))
            try DurableFile.write(json, to: temporary.appendingPathComponent(jsonName))
            guard rename(temporary.path, url.path) == 0 else {
                throw CacheError.system(url.path, "rename", code: errno)
            }
            try DurableFile.flush(directory: url.deletingLastPathComponent())
            return total + json.count
        } catch {
            try? FileManager.default.removeItem(at: temporary)
            throw error
        }
    }

    private static func write(_ tensor: ExportTensor, to url: URL) throws -> Int {
        let element: ExportTensor.Element = tensor.element == .bf16 ? .f32 : tensor.element
        let head = header(tensor)
        let size = head.count + tensor.count * element.size
        try DurableFile.make(url) { descriptor in
            try DurableFile.reserve(size, descriptor, path: url.path, needed: size)
            try DurableFile.writeAll(head, to: descriptor, path: url.path)
            try tensor.forEachPiece(as: element) {
                try DurableFile.writeAll([UInt8]($0), to: descriptor, path: url.path)
            }
            return size
        }
        return size
    }

    /// Version 1.0 of NumPy's format, padded so that the elements begin at a multiple of 64.
    private static func header(_ tensor: ExportTensor) -> [UInt8] {
        let shape =
            tensor.shape.map(String.init).joined(separator: ", ")
            + (tensor.shape.count == 1 ? "," : "")
        let text =
            "{'descr': '\(tensor.element.numpy)', 'fortran_order': False, 'shape': (\(shape)), }"
        let magic: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0]
        let used = magic.count + 2 + text.utf8.count + 1
        let body =
            Array(text.utf8) + [UInt8](repeating: 0x20, count: (64 - used % 64) % 64) + [0x0A]
        return magic + withUnsafeBytes(of: UInt16(body.count).littleEndian) { Array($0) } + body
    }
}

/// Directories of an export.
enum ExportFolder {
    /// Makes a directory; one that is there is taken.
    static func make(_ url: URL) throws {
        guard mkdir(url.path, 0o755) == 0 || errno == EEXIST else {
            throw CacheError.system(url.path, "make a directory", code: errno)
        }
    }

    /// Removes what killed exports left under temporary names.
    static func clean(_ url: URL) throws {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
        for name in names where isTemporary(name) {
            try? FileManager.default.removeItem(at: url.appendingPathComponent(name))
        }
    }

    static func isTemporary(_ name: String) -> Bool {
        name.hasPrefix(".") && name.hasSuffix(DurableFile.temporarySuffix)
    }
}
