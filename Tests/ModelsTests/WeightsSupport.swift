import Foundation
import Testing

@testable import Models

/// Where the golden weight files lie (made by reference/weight_goldens.py).
func weightFixture(_ name: String) throws -> String {
    let folder = try #require(
        Bundle.module.url(forResource: "Fixtures/weights", withExtension: nil)
    )
    return folder.appendingPathComponent(name).path
}

/// A directory of its own for a test, removed afterwards.
func withScratchDirectory<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let url = FileManager.default.temporaryDirectory
        .appendingPathComponent("retort-weights-\(UUID().uuidString)", isDirectory: true)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    return try body(url)
}

/// The pattern that the fixtures hold: element i is ((37 i) mod 101 - 50) / 8.
func fixturePattern(_ count: Int) -> [Float] {
    (0..<count).map { Float((37 * $0) % 101 - 50) / 8 }
}

/// A whole tensor, in whatever shape it has.
func allFloats(_ source: any WeightSource, _ name: String) throws -> [Float] {
    try source.floats(name, expecting: source.requiredInfo(name).shape)
}

/// Little-endian bytes of an integer.
func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
}

/// A safetensors file from its header's text.
func safetensors(_ header: String, data: Int) -> Data {
    Data(bytes(UInt64(header.utf8.count)) + Array(header.utf8) + [UInt8](repeating: 0, count: data))
}

/// Writes a new file in the place of an old one.
///
/// Overwriting would make ext4 flush each time, and
/// thousands of damaged files take minutes.
func replace(_ url: URL, with data: Data) throws {
    try? FileManager.default.removeItem(at: url)
    try data.write(to: url)
}

/// Seeded generator (SplitMix64), so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// Opens and reads everything; the error that came of it, nil when all was well.
func readAll(_ open: () throws -> any WeightSource) throws -> ModelError? {
    do {
        let source = try open()
        for name in source.tensorNames {
            let info = try source.requiredInfo(name)
            let integers: Set<WeightType> = [.i8, .i16, .i32, .i64, .u8, .u16, .u32, .u64, .bool]
            if !integers.contains(info.type) { _ = try source.floats(name, expecting: info.shape) }
        }
        return nil
    } catch let error as ModelError {
        return error
    }
}
