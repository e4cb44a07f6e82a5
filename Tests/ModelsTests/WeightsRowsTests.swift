import Foundation
import Tensors
import Testing

@testable import Models

/// Numbers that differ everywhere, as a source of tensors.
private struct NumberedSource: WeightSource {
    let path = "numbers"
    let tensorNames = ["t"]
    let shape: [Int]

    func info(_ name: String) -> TensorInfo? {
        TensorInfo(name: name, shape: shape, type: .f32, byteCount: 4 * shape.reduce(1, *))
    }

    func read(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws {
        for index in target.indices { target[index] = Float(index) }
    }

    func readRows(_ name: String, rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>)
        throws
    {
        let width = shape.last ?? 1
        #expect(rows.lowerBound >= 0 && rows.upperBound <= shape.dropLast().reduce(1, *))
        #expect(target.count == rows.count * width)
        for index in target.indices { target[index] = Float(rows.lowerBound * width + index) }
    }
}

private func rows(_ layout: StoredLayout, _ shape: [Int], _ range: Range<Int>) throws -> [Float] {
    #expect(layout.fits(shape))
    let width = shape.last ?? 1
    return try [Float](unsafeUninitializedCapacity: range.count * width) { buffer, count in
        let start = try #require(buffer.baseAddress)
        let source = NumberedSource(shape: layout.storedShape(shape))
        try layout.read(rows: range, shape: shape, of: "t", from: source, into: start)
        count = range.count * width
    }
}

@Suite("Rows of a parameter")
struct WeightsRowsTests {
    @Test(
        "any rows are those of the whole",
        arguments: [
            (StoredLayout.plain, [12, 5]), (.onePlus, [12, 5]), (.transposed, [12, 70]),
            (.interleavedHalves(headSize: 4), [12, 5]),
            (.queriesKeysValues(headCount: 2, headSize: 2), [12, 5]),
        ]
    )
    func ranges(layout: StoredLayout, shape: [Int]) throws {
        let whole = try rows(layout, shape, 0..<12)
        let width = shape[1]
        for first in 0..<12 {
            for end in first...12 {
                #expect(
                    try rows(layout, shape, first..<end)
                        == Array(whole[(first * width)..<(end * width)])
                )
            }
        }
    }

    @Test("what the converter rearranged is put back")
    func arrangements() throws {
        // The converter: w.reshape(heads, 2, size / 2).swapaxes(1, 2), so that stored row 1 of a head
        // of 4 is its row 2.
        #expect(
            try rows(.interleavedHalves(headSize: 4), [8, 1], 0..<8) == [0, 2, 1, 3, 4, 6, 5, 7]
        )
        #expect(try rows(.interleavedHalves(headSize: 4), [8], 0..<1) == [0, 2, 1, 3, 4, 6, 5, 7])
        // Stored: q of both heads, k of both, v of both.
        let fused = StoredLayout.queriesKeysValues(headCount: 2, headSize: 2)
        let expected: [Float] = [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]
        #expect(try rows(fused, [12, 1], 0..<12) == expected)
        #expect(try rows(fused, [12], 0..<1) == expected)
        #expect(try rows(.transposed, [2, 3], 0..<2) == [0, 2, 4, 1, 3, 5])
        #expect(try rows(.onePlus, [3], 0..<1) == [-1, 0, 1])
    }

    @Test("a shape that cannot have been rearranged so is refused")
    func unfitting() {
        #expect(!StoredLayout.interleavedHalves(headSize: 4).fits([6, 5]))
        #expect(!StoredLayout.interleavedHalves(headSize: 3).fits([6, 5]))
        #expect(!StoredLayout.interleavedHalves(headSize: 0).fits([6, 5]))
        #expect(!StoredLayout.queriesKeysValues(headCount: 2, headSize: 4).fits([12, 5]))
        #expect(!StoredLayout.queriesKeysValues(headCount: 0, headSize: 0).fits([12, 5]))
        #expect(!StoredLayout.transposed.fits([12]))
    }

    @Test("rows of a checkpoint's weights", arguments: ["gpt2", "llama"])
    func checkpoint(name: String) throws {
        let checkpoint = try Checkpoint(ParityFixture(name).directory)
        let embedding = try checkpoint.architecture.tokenEmbedding(from: checkpoint)
        let width = embedding.shape[1]
        let part = Matrix(uninitialized: 3, width)
        try checkpoint.parameterRows(
            embedding.name,
            embedding.shape,
            rows: 7..<10,
            into: part.base
        )
        #expect(part.values == embedding.value.slice(rows: 7..<10).values)
        let error = #expect(throws: ModelError.self) {
            try checkpoint.parameterRows(
                embedding.name,
                embedding.shape,
                rows: (embedding.shape[0] - 1)..<(embedding.shape[0] + 2),
                into: part.base
            )
        }
        #expect(error?.kind == .mismatch)
    }

    @Test("pages that were read leave the resident set")
    func residentPages() throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("large.safetensors").path
            let count = 12 << 20
            let values = [Float](repeating: 1.5, count: count)
            try values.withUnsafeBufferPointer {
                try SafetensorsWriter.write(
                    [(name: "t", shape: [1 << 10, 12 << 10], values: $0)],
                    type: .f32,
                    to: URL(fileURLWithPath: path)
                )
            }
            let file = try SafetensorsFile(path: path)
            #expect(try file.bytes("t").count == 4 * count)
            #expect(try residentKiB(path) > 40_000)
            #expect(try file.floats("t", expecting: [1 << 10, 12 << 10]) == values)
            #expect(try residentKiB(path) < 200)
            // Rows here and there, as embeddings are read.
            var row = [Float](repeating: 0, count: 12 << 10)
            for index in stride(from: 0, to: 1 << 10, by: 8) {
                try row.withUnsafeMutableBufferPointer {
                    try file.readRows("t", rows: index..<(index + 1), into: $0)
                }
                #expect(row == Array(values.prefix(12 << 10)))
            }
            #expect(try residentKiB(path) < 200)
        }
    }

    /// How much of a mapped file is in this process's memory.
    private func residentKiB(_ path: String) throws -> Int {
        let handle = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
        let maps = String(decoding: try handle.readToEnd() ?? Data(), as: UTF8.self)
        let lines = maps.split(separator: "\n")
        let start = try #require(lines.firstIndex { $0.hasSuffix(path) })
        let line = try #require(lines[start...].first { $0.hasPrefix("Rss:") })
        return try #require(Int(line.split(separator: " ").dropFirst().first ?? ""))
    }
}
