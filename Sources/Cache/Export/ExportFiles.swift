import Foundation

/// A safetensors file.
///
/// The header is <https://github.com/huggingface/safetensors#format>'s: a length, JSON, then the
/// elements without gaps, wide ones first so that all are aligned.
enum SafetensorsExport {
    /// The longest header that the package reads.
    private static let headerLimit = 100_000_000

    /// What writes the file `path` of these tensors.
    ///
    /// - Throws: `CacheError`: `unsupported` when the texts are too long for a header.
    static func fill(
        _ tensors: [ExportTensor],
        metadata: [String: String],
        path: String
    ) throws -> ExportBatch.Fill {
        let ordered = tensors.enumerated().sorted {
            (-$0.element.element.size, $0.offset) < (-$1.element.element.size, $1.offset)
        }.map(\.element)
        let head = try header(ordered, metadata: metadata, path: path)
        let size = ordered.reduce(head.count) { $0 + $1.count * $1.element.size }
        return { descriptor in
            try DurableFile.reserve(size, descriptor, path: path, needed: size)
            try DurableFile.writeAll(head, to: descriptor, path: path)
            for tensor in ordered {
                try tensor.forEachPiece(as: tensor.element) {
                    try DurableFile.writeAll([UInt8]($0), to: descriptor, path: path)
                }
            }
            return size
        }
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

    /// What writes each file of the directory `url`.
    static func files(
        _ tensors: [ExportTensor],
        metadata: [String: String],
        url: URL
    ) throws -> [(name: String, fill: ExportBatch.Fill)] {
        var files: [(name: String, fill: ExportBatch.Fill)] = []
        var entries: [String: Entry] = [:]
        for tensor in tensors {
            let name = tensor.name.replacing("/", with: ".") + ".npy"
            files.append((name, fill(tensor, path: url.appendingPathComponent(name).path)))
            let type = tensor.element.numpy
            entries[tensor.name] = Entry(file: name, dtype: type, shape: tensor.shape)
        }
        let json = try canonicalJSON(Example(metadata: metadata, arrays: entries))
        let path = url.appendingPathComponent(jsonName).path
        let fill: ExportBatch.Fill = { descriptor in
            try DurableFile.writeAll(json, to: descriptor, path: path)
            return json.count
        }
        return files + [(jsonName, fill)]
    }

    private static func fill(_ tensor: ExportTensor, path: String) -> ExportBatch.Fill {
        let element: ExportTensor.Element = tensor.element == .bf16 ? .f32 : tensor.element
        let head = header(tensor)
        let size = head.count + tensor.count * element.size
        return { descriptor in
            try DurableFile.reserve(size, descriptor, path: path, needed: size)
            try DurableFile.writeAll(head, to: descriptor, path: path)
            try tensor.forEachPiece(as: element) {
                try DurableFile.writeAll([UInt8]($0), to: descriptor, path: path)
            }
            return size
        }
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
