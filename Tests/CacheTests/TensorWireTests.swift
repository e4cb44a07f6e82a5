import Foundation
import Testing

@testable import Cache

/// A reader that was taken over by the file that it reads can answer anything.
@Suite("What the jail says of plain arrays")
struct TensorWireTests {
    private func good() throws -> (listing: TensorListing, fileBytes: Int) {
        let file = try VerifiedFile(TensorFixtures.url("good.h5"), entry: nil)
        let bytes = try DurableFile.size(file.descriptor, path: file.path)
        let listing = try HDF5Library.listTensors(descriptor: file.descriptor, path: file.path)
        return (listing, bytes)
    }

    @Test("a listing comes back as it went, and cut short not at all")
    func same() throws {
        let (listing, fileBytes) = try good()
        let whole = TensorWire.encoded { listing }
        #expect(try TensorWire.decode(whole, path: "p", fileBytes: fileBytes) == listing)
        for length in stride(from: 0, to: whole.count, by: whole.count > 20_000 ? 7 : 1) {
            let error = #expect(throws: CacheError.self) {
                try TensorWire.decode(Array(whole[..<length]), path: "p", fileBytes: fileBytes)
            }
            #expect(error?.path == "p")
        }
        #expect(throws: CacheError.self) {
            try TensorWire.decode(whole + [0], path: "p", fileBytes: fileBytes)
        }
        let words = TensorWire.encoded { throw CacheError.foreign("", "'x' is not allowed") }
        let error = try #require(throws: CacheError.self) {
            try TensorWire.decode(words, path: "p", fileBytes: fileBytes)
        }
        #expect(error.message == "'x' is not allowed")
    }

    @Test(
        "no answer makes an array that reaches outside the file, or takes memory out of proportion"
    )
    func mutations() throws {
        let (listing, fileBytes) = try good()
        let whole = TensorWire.encoded { listing }
        var generator = OrderGenerator(seed: 5, epoch: 0, stream: 0)
        let wild: [UInt64] = [0, 1, .max, 1 << 63, (1 << 63) - 1, 1 << 31, 1 << 32, 1 << 61]
        var (refused, passed) = (0, 0)
        for number in 0..<20_000 {
            var bytes = whole
            let position = Int(generator.next() % UInt64(bytes.count - 8))
            if number % 2 == 0 {
                bytes[position] ^= 1 << (generator.next() % 8)
            } else {
                let value = wild[Int(generator.next() % UInt64(wild.count))]
                for i in 0..<8 { bytes[position + i] = UInt8(truncatingIfNeeded: value >> (8 * i)) }
            }
            guard let found = try? TensorWire.decode(bytes, path: "p", fileBytes: fileBytes),
                found.values.allSatisfy({ $0.fault(fileBytes: fileBytes) == nil })
            else {
                refused += 1
                continue
            }
            passed += 1
            for array in found.values { expectSane(array, fileBytes) }
        }
        #expect(refused > 5000 && passed > 500, "\(refused) \(passed)")
    }

    private func expectSane(_ array: TensorLayout, _ fileBytes: Int) {
        #expect(array.shape.count <= 2 && array.count >= 0 && array.bytes >= 0)
        switch array.storage {
        case .contiguous(let offset):
            #expect(offset >= 0 && offset + array.bytes <= fileBytes)
        case .held(let values):
            #expect(array.element == .texts || values.count == array.bytes)
            #expect(array.count <= values.count)
        case .chunked(_, let rows, let columns, let places):
            #expect(rows > 0 && columns > 0)
            let raw = rows * columns * array.elementSize
            #expect(raw <= ChunkCodec.largestChunk && array.bytes <= raw * places.count)
            #expect(array.bytes <= (16 << 20) + 64 * fileBytes)
            for place in places {
                #expect(
                    place.offset >= 0 && place.size > 0 && place.offset + place.size <= fileBytes
                )
                #expect(!place.isRaw || place.size == raw)
            }
        }
    }

    @Test("each thing that an answer may not say is a fault of its own")
    func faults() {
        func array(
            _ name: String = "x",
            _ element: TensorLayout.Element = .number(.f32),
            _ shape: [Int] = [4, 4],
            _ storage: TensorLayout.Storage = .contiguous(offset: 0)
        ) -> String? {
            TensorLayout(name: name, element: element, shape: shape, storage: storage)
                .fault(fileBytes: 100)
        }
        func chunks(
            _ codec: ChunkCodec? = nil,
            _ rows: Int = 2,
            _ columns: Int = 4,
            _ places: [(Int, Int)] = [(0, 32), (32, 32)]
        ) -> String? {
            array(
                "x",
                .number(.f32),
                [4, 4],
                .chunked(
                    codec,
                    rows: rows,
                    columns: columns,
                    places.map {
                        ChunkPlace(offset: $0.0, size: $0.1, isRaw: codec == nil, checksum: 0)
                    }
                )
            )
        }
        #expect(array() == nil && chunks() == nil && chunks(.deflate) == nil)
        #expect(array("a/b/c/d/e") == nil && array("a/b/c/d/e/f") != nil && array("") != nil)
        #expect(array("..") != nil && array("a//b") != nil && array("a b") != nil)
        #expect(
            array("x", .number(.f32), [5, 5]) == nil && array("x", .number(.f32), [5, 6]) != nil
        )
        #expect(array("x", .number(.f32), [-1, 4]) != nil)
        #expect(array("x", .number(.f32), [1 << 40, 1 << 40]) != nil)
        #expect(array("x", .number(.f32), [1, 1, 1]) != nil)
        #expect(array("x", .number(.f32), [1], .contiguous(offset: 97)) != nil)
        #expect(array("x", .number(.f32), [1], .contiguous(offset: -1)) != nil)
        #expect(array("x", .texts, [1], .contiguous(offset: 0)) != nil)
        #expect(array("x", .number(.f32), [2], .held([0, 0, 0, 0])) != nil)
        #expect(array("x", .texts, [1], .held([1, 0, 0, 0])) != nil)
        #expect(array("x", .texts, [1], .held([1, 0, 0, 0, 65])) == nil)
        #expect(array("x", .texts, [1 << 40], .held([1, 0, 0, 0, 65])) != nil)
        let long = [UInt8](repeating: 65, count: 4097)
        #expect(array("x", .texts, [1], .held([0, 16, 0, 0] + long.dropLast())) == nil)
        #expect(array("x", .texts, [1], .held([1, 16, 0, 0] + long)) != nil)
        #expect(array("x", .text(bytes: 1), [100]) == nil)
        #expect(array("x", .text(bytes: 1), [1 << 25]) == "so much text")
        #expect(array("x", .text(bytes: 4096), [1 << 14]) == "so much text")
        #expect(chunks(nil, 2, 4, [(0, 32)]) != nil && chunks(nil, 0, 4) != nil)
        #expect(chunks(nil, 2, 4, [(0, 32), (16, 32)]) == "chunks that share bytes")
        #expect(chunks(nil, 2, 4, [(0, 32), (80, 32)]) != nil)
        #expect(chunks(nil, 2, 4, [(0, 31), (32, 32)]) != nil)
        #expect(chunks(.deflate, 1 << 20, 4, [(0, 32)]) == nil)
        #expect(chunks(.deflate, 1 << 21, 4, [(0, 32)]) != nil)
        #expect(chunks(.deflate, 1 << 40, 4, [(0, 32)]) != nil)
    }

    @Test("scalars, float64 and groups in groups are written, and read back")
    func results() throws {
        let scratch = try Scratch()
        let url = scratch.url.appendingPathComponent("out.h5")
        let file = try ResultFile(
            url,
            [
                .init("loss/total", .f64, []), .init("grad/projectors/t2s/0/weight", .f32, [2, 3]),
                .init("grad/projectors/t2s/0/bias", .f32, [2]), .init("ids", .i64, [1]),
            ]
        )
        let weight: [Float] = [1, 2, 3, 4, 5, 6]
        try withUnsafeBytes(of: 0.1) { try file.append("loss/total", $0) }
        try weight.withUnsafeBytes { try file.append("grad/projectors/t2s/0/weight", $0) }
        try weight[..<2].withUnsafeBytes { try file.append("grad/projectors/t2s/0/bias", $0) }
        try withUnsafeBytes(of: Int64(-7)) { try file.append("ids", $0) }
        try file.finish()
        let back = try TensorFile(url)
        #expect(back.shape(of: "loss/total") == [] && back.names.count == 4)
        #expect(try back.floats("loss/total").values == [0.1])
        let found = try back.floats("grad/projectors/t2s/0/weight")
        #expect(found.values == weight && found.shape == [2, 3])
        #expect(try back.floats("grad/projectors/t2s/0/bias").values == [1, 2])
        #expect(try back.integers("ids").values == [-7])
    }
}
