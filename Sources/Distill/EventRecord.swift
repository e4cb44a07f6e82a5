import CKernels
import Foundation

/// One event of a TensorBoard file: a time, a step, and scalars by name; or the file's version.
///
/// The file is a sequence of TFRecords, each the length of a message (8 bytes, little-endian), the masked
/// CRC-32C of those bytes, the message, and the masked CRC-32C of that. The message is the protocol buffer
/// `tensorflow.Event`, of which these fields are written: 1 `wall_time` (double), 2 `step` (varint),
/// 3 `file_version` (text), 5 `summary`, whose field 1, repeated, has 1 `tag` (text) and 2 `simple_value`
/// (float).
struct EventRecord: Equatable {
    /// Seconds since 1970.
    var time: Double
    var step = 0
    /// `brain.Event:2` in the first record of a file.
    var version: String?
    var scalars: [Scalar] = []

    /// A name such as `train/ce`, and its value.
    struct Scalar: Equatable {
        var tag: String
        var value: Float
    }

    /// The first record of a file.
    static func first(at time: Double) -> EventRecord {
        EventRecord(time: time, version: "brain.Event:2")
    }

    /// The record as it lies in the file.
    var data: Data {
        var message = Data()
        message.append(field: 1, .fixed64, littleEndian: time.bitPattern)
        if step != 0 {
            message.append(field: 2, .varint)
            message.append(varint: UInt64(step))
        }
        if let version { message.append(field: 3, bytes: Data(version.utf8)) }
        if !scalars.isEmpty {
            var summary = Data()
            for scalar in scalars {
                var value = Data()
                value.append(field: 1, bytes: Data(scalar.tag.utf8))
                value.append(field: 2, .fixed32, littleEndian: scalar.value.bitPattern)
                summary.append(field: 1, bytes: value)
            }
            message.append(field: 5, bytes: summary)
        }
        var length = Data()
        length.append(littleEndian: UInt64(message.count))
        var record = length
        record.append(littleEndian: Self.maskedChecksum(length))
        record.append(message)
        record.append(littleEndian: Self.maskedChecksum(message))
        return record
    }

    /// The records of a file with their steps, up to the first that is damaged or cut short.
    static func records(in file: Data) -> [(step: Int, bytes: Data)] {
        var found: [(step: Int, bytes: Data)] = []
        var rest = file[...]
        while rest.count >= 16 {
            let length = rest.prefix(8)
            let count = length.littleEndian
            guard count <= UInt64(rest.count - 16) else { break }
            let message = rest.dropFirst(12).prefix(Int(count))
            let sums = [rest.dropFirst(8).prefix(4), rest.dropFirst(12 + Int(count)).prefix(4)]
            guard sums.map(\.littleEndian) == [length, message].map({ UInt64(maskedChecksum($0)) })
            else { break }
            found.append((step(of: message), Data(rest.prefix(16 + Int(count)))))
            rest = rest.dropFirst(16 + Int(count))
        }
        return found
    }

    /// The step of a message that `data` wrote: it follows the time, or is not there for 0.
    private static func step(of message: Data) -> Int {
        let rest = message.dropFirst(9)
        guard rest.first == Data.key(2, .varint) else { return 0 }
        var (step, shift) = (UInt64(0), UInt64(0))
        for byte in rest.dropFirst() {
            step |= UInt64(byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 || shift > 56 { break }
        }
        return Int(clamping: step)
    }

    /// CRC-32C, turned and shifted so that a sum over data that holds sums is no weaker.
    private static func maskedChecksum(_ data: Data) -> UInt32 {
        let sum = data.withUnsafeBytes { bytes in
            bytes.baseAddress.map {
                ck_crc32c(0, $0.assumingMemoryBound(to: UInt8.self), bytes.count)
            } ?? 0
        }
        return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
    }
}

/// How protocol buffers lay numbers and texts out.
extension Data {
    /// What follows a field's key.
    fileprivate enum Wire: UInt8 {
        case varint = 0
        case fixed64 = 1
        case bytes = 2
        case fixed32 = 5
    }

    fileprivate static func key(_ field: UInt8, _ wire: Wire) -> UInt8 {
        field << 3 | wire.rawValue
    }

    /// Up to eight bytes, the lowest first.
    fileprivate var littleEndian: UInt64 { reversed().reduce(0) { $0 << 8 | UInt64($1) } }

    fileprivate mutating func append(littleEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    fileprivate mutating func append(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }

    fileprivate mutating func append(field: UInt8, _ wire: Wire) { append(Self.key(field, wire)) }

    fileprivate mutating func append(
        field: UInt8,
        _ wire: Wire,
        littleEndian value: some FixedWidthInteger
    ) {
        append(field: field, wire)
        append(littleEndian: value)
    }

    fileprivate mutating func append(field: UInt8, bytes: Data) {
        append(field: field, .bytes)
        append(varint: UInt64(bytes.count))
        append(bytes)
    }
}
