import CKernels
import Foundation

/// What a safetensors tensor is written from.
public enum SafetensorsPayload {
    /// Floats, stored as `f32`, `f16` or `bf16` (rounded to nearest even).
    case floats(UnsafeBufferPointer<Float>, as: WeightType)
    /// The same, read while it is written.
    case streamed(StreamedWeight, as: WeightType)
    /// Integers, stored as `i64`.
    case int64s(UnsafeBufferPointer<Int64>)
    /// Bytes, stored as `u8`.
    case bytes(UnsafeBufferPointer<UInt8>)

    var type: WeightType {
        switch self {
        case .floats(_, let type), .streamed(_, let type): type
        case .int64s: .i64
        case .bytes: .u8
        }
    }

    var count: Int {
        switch self {
        case .floats(let values, _): values.count
        case .streamed(let weight, _): weight.count
        case .int64s(let values): values.count
        case .bytes(let values): values.count
        }
    }
}

/// Writes safetensors files that the Python package, transformers and `SafetensorsFile` read.
///
/// The tensors are streamed: nothing of their size is held beside the caller's buffers. The file
/// appears under its name only when it is whole and on the disk.
public struct SafetensorsWriter {
    /// One tensor to write; the buffer must live until the call returns.
    public struct Entry {
        let name: String
        let shape: [Int]
        let payload: SafetensorsPayload

        /// Describes a tensor to write.
        ///
        /// - Parameters:
        ///   - name: Its name in the file.
        ///   - shape: Row-major, as in PyTorch.
        ///   - payload: As many elements as the shape says.
        public init(name: String, shape: [Int], payload: SafetensorsPayload) {
            self.name = name
            self.shape = shape
            self.payload = payload
        }
    }

    /// Writes weights, all in one type.
    ///
    /// - Parameters:
    ///   - tensors: Names, row-major shapes and elements.
    ///   - type: `f32`, `f16` or `bf16`.
    ///   - metadata: Strings for the header; `format: pt`, which transformers wants, is added.
    ///   - url: The file to make or replace.
    /// - Throws: `ModelError`: `mismatch` (counts, duplicate names), `unsupported` (type), `io`.
    public static func write(
        _ tensors: [(name: String, shape: [Int], values: UnsafeBufferPointer<Float>)],
        type: WeightType,
        metadata: [String: String] = [:],
        to url: URL
    ) throws {
        let entries = tensors.map {
            Entry(name: $0.name, shape: $0.shape, payload: .floats($0.values, as: type))
        }
        try write(entries, metadata: metadata, to: url)
    }

    /// Writes tensors of several types: a checkpoint's weights, moments, counters and states.
    ///
    /// - Parameters:
    ///   - entries: The tensors; those with wide elements go first so that all are aligned.
    ///   - metadata: Strings for the header; `format: pt` is added.
    ///   - url: The file to make or replace.
    /// - Throws: `ModelError`: `mismatch` (counts, duplicate names), `unsupported` (type), `io`.
    public static func write(
        _ entries: [Entry],
        metadata: [String: String] = [:],
        to url: URL
    ) throws {
        try write(entries, metadata: metadata, to: url, using: AtomicFile.systemWrite)
    }

    static func write(
        _ entries: [Entry],
        metadata: [String: String],
        to url: URL,
        using write: @escaping AtomicFile.Write
    ) throws {
        let ordered = entries.enumerated().sorted {
            let (left, right) = ($0.element.payload.type, $1.element.payload.type)
            return (-left.bytesPerBlock, $0.offset) < (-right.bytesPerBlock, $1.offset)
        }.map(\.element)
        let head = try header(ordered, metadata: metadata, path: url.path)
        var file = try AtomicFile(url, write: write)
        try head.withUnsafeBytes { try file.append($0) }
        for entry in ordered { try append(entry.payload, to: &file) }
        try file.commit()
    }

    /// The length and the JSON, padded so that the data begin at a multiple of 8.
    private static func header(
        _ entries: [Entry],
        metadata: [String: String],
        path: String
    ) throws -> [UInt8] {
        let allMetadata = metadata.merging(["format": "pt"]) { given, _ in given }
        var fields = [
            "\"__metadata__\":{"
                + allMetadata.sorted { $0.key < $1.key }
                .map { "\(quoted($0.key)):\(quoted($0.value))" }.joined(separator: ",") + "}"
        ]
        var names: Set<String> = ["__metadata__"]
        var offset = 0
        for entry in entries {
            let type = entry.payload.type
            guard let typeName = type.safetensorsName, entry.payload.isStorable else {
                throw ModelError(
                    .unsupported,
                    path: path,
                    "tensor \"\(entry.name)\" cannot be written as \(type.rawValue)",
                    remedy: "Choose f32, f16 or bf16."
                )
            }
            guard names.insert(entry.name).inserted else {
                throw ModelError(
                    .mismatch,
                    path: path,
                    "two tensors are named \"\(entry.name)\""
                )
            }
            guard let bytes = type.byteCount(shape: entry.shape),
                bytes == entry.payload.count * type.bytesPerBlock
            else {
                throw ModelError(
                    .mismatch,
                    path: path,
                    "tensor \"\(entry.name)\" of shape \(entry.shape) was given "
                        + "\(entry.payload.count) elements"
                )
            }
            let shape = entry.shape.map(String.init).joined(separator: ",")
            fields.append(
                "\(quoted(entry.name)):{\"dtype\":\"\(typeName)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offset),\(offset + bytes)]}"
            )
            offset += bytes
        }
        var json = Array("{\(fields.joined(separator: ","))}".utf8)
        json.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - json.count % 8) % 8))
        guard json.count <= SafetensorsHeader.byteLimit else {
            throw ModelError(.unsupported, path: path, "a header of \(json.count) bytes")
        }
        return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private static func append(
        _ payload: SafetensorsPayload,
        to file: inout AtomicFile
    ) throws {
        switch payload {
        case .int64s(let values): try file.append(UnsafeRawBufferPointer(values))
        case .bytes(let values): try file.append(UnsafeRawBufferPointer(values))
        case .floats(let values, let type): try file.append(values, as: type)
        case .streamed(let weight, let type):
            try weight.forEachStrip { try file.append($0, as: type) }
        }
    }
}

extension AtomicFile {
    /// Appends floats as `f32`, `f16` or `bf16`, rounded to nearest even.
    mutating func append(_ values: UnsafeBufferPointer<Float>, as type: WeightType) throws {
        guard type != .f32 else { return try append(UnsafeRawBufferPointer(values)) }
        let pieceLength = 1 << 16
        var piece = [UInt16](repeating: 0, count: min(values.count, pieceLength))
        let round = type == .f16 ? ck_weights_to_f16 : ck_to_bf16
        for start in stride(from: 0, to: values.count, by: pieceLength) {
            let count = min(pieceLength, values.count - start)
            guard let source = values.baseAddress?.advanced(by: start) else { return }
            try piece.withUnsafeMutableBufferPointer { halves in
                round(source, halves.baseAddress, count)
                try append(
                    UnsafeRawBufferPointer(
                        rebasing: UnsafeRawBufferPointer(halves)[..<(2 * count)]
                    )
                )
            }
        }
    }
}

extension SafetensorsPayload {
    fileprivate var isStorable: Bool {
        switch self {
        case .floats(_, let type), .streamed(_, let type): [.f32, .f16, .bf16].contains(type)
        case .int64s, .bytes: true
        }
    }
}
