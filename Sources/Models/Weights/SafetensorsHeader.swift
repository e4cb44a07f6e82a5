/// The header of a safetensors file: names, types, shapes and byte ranges, checked.
///
/// Layout: u64 little-endian header length, a JSON object of that length, then the data. The rules
/// are those of the format's specification (github.com/huggingface/safetensors): at most 100 MB,
/// begins with `{`, no duplicate keys, ranges contiguous from 0 to the end of the file without holes
/// or overlaps, each exactly as long as its type and shape say.
struct SafetensorsHeader {
    struct Entry {
        let info: TensorInfo
        /// From the start of the file.
        let offset: Int
    }

    /// In the order of their bytes.
    var entries: [Entry] = []
    /// The strings under `__metadata__`.
    var metadata: [String: String] = [:]

    static let byteLimit = 100_000_000
    private static let dimensionLimit = 32

    /// Reads and checks the header.
    ///
    /// - Throws: `ModelError` `corrupt`, or `unsupported` for an element type that is not read.
    init(of file: MappedFile) throws {
        func corrupt(_ message: String) -> ModelError {
            ModelError(.corrupt, path: file.path, message, remedy: file.guessedRemedy())
        }
        guard file.size >= 10 else {
            throw corrupt("not a safetensors file: it has only \(file.size) bytes")
        }
        let length = try file.withBytes(offset: 0, count: 8) {
            UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self))
        }
        guard length <= UInt64(Self.byteLimit) else {
            throw corrupt("not a safetensors file: its header would be \(length) bytes long")
        }
        guard Int(length) <= file.size - 8 else {
            throw corrupt("the header of \(length) bytes does not fit the \(file.size) of the file")
        }
        let json = try file.withBytes(offset: 8, count: Int(length)) { [UInt8]($0) }
        file.release(offset: 0, count: 8 + Int(length))
        guard json.first == UInt8(ascii: "{") else {
            throw corrupt("not a safetensors file: its header does not begin with '{'")
        }
        var raw: [RawEntry] = []
        var scanner = JSONScanner(json)
        do {
            try scanner.object { scanner, name in
                if name == "__metadata__" {
                    try scanner.object { self.metadata[$1] = try $0.string() }
                } else {
                    raw.append(try RawEntry(name: name, scanner: &scanner))
                }
            }
            try scanner.expectEnd()
        } catch let failure as JSONScanner.Failure {
            throw corrupt("header, byte \(failure.offset): \(failure.message)")
        }
        try place(raw, dataStart: 8 + Int(length), file: file, corrupt: corrupt)
    }

    private mutating func place(
        _ raw: [RawEntry],
        dataStart: Int,
        file: MappedFile,
        corrupt: (String) -> ModelError
    ) throws {
        entries.reserveCapacity(raw.count)
        var end = 0
        for entry in raw.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
            let place = "tensor \"\(entry.name)\""
            guard let type = WeightType(safetensors: entry.type) else {
                throw ModelError(
                    .unsupported,
                    path: file.path,
                    "\(place): element type \(entry.type)",
                    remedy: "Convert the model to F32, F16 or BF16."
                )
            }
            guard entry.shape.count <= Self.dimensionLimit,
                let bytes = type.byteCount(shape: entry.shape)
            else { throw corrupt("\(place): shape \(entry.shape.prefix(8)) is too large") }
            guard entry.begin == end else {
                throw corrupt(
                    "\(place): begins at byte \(entry.begin) of the data, expected \(end): "
                        + (entry.begin < end ? "overlapping ranges" : "a hole")
                )
            }
            guard entry.end >= entry.begin, entry.end - entry.begin == bytes else {
                throw corrupt(
                    "\(place): bytes \(entry.begin) to \(entry.end) do not match "
                        + "\(entry.type) \(entry.shape), which takes \(bytes)"
                )
            }
            end = entry.end
            guard end <= file.size - dataStart else {
                throw corrupt("\(place): the file ends before it: \(file.size) bytes")
            }
            let info = TensorInfo(
                name: entry.name,
                shape: entry.shape,
                type: type,
                byteCount: bytes
            )
            entries.append(Entry(info: info, offset: dataStart + entry.begin))
        }
        guard end == file.size - dataStart else {
            throw corrupt("\(file.size - dataStart - end) bytes after the last tensor")
        }
    }
}

/// A tensor as the header states it, not yet checked.
private struct RawEntry {
    let name: String
    let type: String
    let shape: [Int]
    let begin: Int
    let end: Int

    init(name: String, scanner: inout JSONScanner) throws {
        var type: String?
        var shape: [Int]?
        var range: [Int]?
        try scanner.object { scanner, key in
            switch key {
            case "dtype": type = try scanner.string()
            case "shape": shape = try Self.numbers(&scanner)
            case "data_offsets": range = try Self.numbers(&scanner)
            default: throw scanner.failure("tensor \"\(name)\": unknown key \"\(key)\"")
            }
        }
        guard let type, let shape, let range, range.count == 2 else {
            throw scanner.failure("tensor \"\(name)\" needs dtype, shape and two data_offsets")
        }
        self.name = name
        self.type = type
        self.shape = shape
        self.begin = range[0]
        self.end = range[1]
    }

    private static func numbers(_ scanner: inout JSONScanner) throws -> [Int] {
        var numbers: [Int] = []
        try scanner.array { numbers.append(try $0.naturalNumber()) }
        return numbers
    }
}
