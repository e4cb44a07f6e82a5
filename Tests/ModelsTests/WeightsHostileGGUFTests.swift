import Foundation
import Testing

@testable import Models

/// A GGUF head put together byte by byte, right unless a test says otherwise.
private struct GGUFBuilder {
    var magic: [UInt8] = Array("GGUF".utf8)
    var version: UInt32 = 3
    var tensorCount: UInt64 = 1
    var keyCount: UInt64?
    var pairs: [[UInt8]] = []
    var name: [UInt8] = text("t")
    var dimensionCount: UInt32?
    var dimensions: [UInt64] = [32, 2]
    var type: UInt32 = 0
    var offset: UInt64 = 0
    /// A second description of the same kind, when given its name and offset.
    var second: (name: String, offset: UInt64)?
    var data = 256

    func build() -> Data {
        var head = magic + bytes(version) + bytes(tensorCount)
        head += bytes(keyCount ?? UInt64(pairs.count)) + pairs.flatMap { $0 }
        let rest =
            bytes(dimensionCount ?? UInt32(dimensions.count)) + dimensions.flatMap { bytes($0) }
        head += name + rest + bytes(type) + bytes(offset)
        if let second { head += text(second.name) + rest + bytes(type) + bytes(second.offset) }
        head += [UInt8](repeating: 0, count: (32 - head.count % 32) % 32)
        return Data(head + [UInt8](repeating: 0, count: data))
    }
}

private func text(_ string: String) -> [UInt8] {
    bytes(UInt64(string.utf8.count)) + Array(string.utf8)
}

/// A key with a value of the type with this number.
private func pair(_ key: String, _ type: UInt32, _ value: [UInt8]) -> [UInt8] {
    text(key) + bytes(type) + value
}

@Suite("Hostile GGUF heads")
struct WeightsHostileGGUFTests {
    /// A change to a sound head, and what its refusal must say.
    private struct Sample {
        let says: String
        let kind: ModelError.Kind
        let change: (inout GGUFBuilder) -> Void

        init(
            _ says: String,
            _ kind: ModelError.Kind = .corrupt,
            _ change: @escaping (inout GGUFBuilder) -> Void
        ) {
            self.says = says
            self.kind = kind
            self.change = change
        }
    }

    private func check(_ samples: [Sample]) throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("bad.gguf")
            for sample in samples {
                var builder = GGUFBuilder()
                sample.change(&builder)
                try replace(path, with: builder.build())
                let error = try #require(throws: ModelError.self, "\(sample.says)") {
                    try GGUFFile(path: path.path)
                }
                #expect(error.kind == sample.kind, "\(error)")
                #expect(error.message.contains(sample.says), "\(error)")
            }
        }
    }

    @Test("the head that the other tests change is sound")
    func sound() throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("good.gguf")
            var builder = GGUFBuilder()
            builder.pairs = [
                pair("general.alignment", 4, bytes(UInt32(32))),
                pair("bad utf8", 8, bytes(UInt64(3)) + [0x61, 0xff, 0x62]),
            ]
            try builder.build().write(to: path)
            let file = try GGUFFile(path: path.path)
            #expect(file.info("t")?.shape == [2, 32])
            #expect(try file.string("bad utf8") == "a\u{fffd}b")
        }
    }

    @Test("magic, version and counts")
    func start() throws {
        try check([
            .init("does not begin with") { $0.magic = Array("GGML".utf8) },
            .init("GGUF version 1", .unsupported) { $0.version = 1 },
            .init("GGUF version 4", .unsupported) { $0.version = 4 },
            .init("big-endian", .unsupported) { $0.version = 3 << 24 },
            .init("tensors do not fit") { $0.tensorCount = 1 << 63 },
            .init("tensors do not fit") { $0.tensorCount = 1_000 },
            .init("keys do not fit") { $0.keyCount = .max },
        ])
    }

    @Test("metadata: strings, arrays, types, duplicates, alignment")
    func metadata() throws {
        func nested(_ depth: Int) -> [UInt8] {
            depth == 0
                ? bytes(UInt32(0)) + bytes(UInt64(0))
                : bytes(UInt32(9)) + bytes(UInt64(1)) + nested(depth - 1)
        }
        try check([
            .init("past the end") { $0.pairs = [pair("k", 8, bytes(UInt64(100_000)))] },
            .init("too long") { $0.pairs = [pair("k", 8, bytes(UInt64(1) << 40))] },
            .init("too long") { $0.pairs = [pair("k", 8, bytes(UInt64.max))] },
            .init("past the end") { $0.name = bytes(UInt64(5_000)) },
            .init("do not fit") {
                $0.pairs = [pair("k", 9, bytes(UInt32(8)) + bytes(UInt64(1) << 60))]
            },
            .init("do not fit") {
                $0.pairs = [pair("k", 9, bytes(UInt32(0)) + bytes(UInt64(5_000)))]
            },
            .init("nested too deeply") { $0.pairs = [pair("k", 9, nested(4))] },
            .init("value type 13") { $0.pairs = [pair("k", 13, [])] },
            .init("array of value type 77") {
                $0.pairs = [pair("k", 9, bytes(UInt32(77)) + bytes(UInt64(1)))]
            },
            .init("truth value of 2") { $0.pairs = [pair("k", 7, [2])] },
            .init("duplicate metadata key") {
                $0.pairs = [pair("k", 0, [1]), pair("k", 0, [2])]
            },
            .init("power of two") {
                $0.pairs = [pair("general.alignment", 4, bytes(UInt32(1) << 30))]
            },
            .init("power of two") { $0.pairs = [pair("general.alignment", 4, bytes(UInt32(0)))] },
            .init("power of two") { $0.pairs = [pair("general.alignment", 4, bytes(UInt32(48)))] },
            .init("power of two") { $0.pairs = [pair("general.alignment", 8, text("32"))] },
        ])
    }

    @Test("split models: numbers, names, missing and foreign parts")
    func split() throws {
        func part(_ number: Int, of count: Int, tensors: Int = 2, name: String) -> Data {
            var builder = GGUFBuilder()
            builder.name = text(name)
            builder.pairs = [
                pair("split.no", 2, bytes(UInt16(number))),
                pair("split.count", 2, bytes(UInt16(count))),
                pair("split.tensors.count", 5, bytes(Int32(tensors))),
            ]
            return builder.build()
        }
        try withScratchDirectory { folder in
            func path(_ name: String) -> URL { folder.appendingPathComponent(name) }
            func refused(_ says: String, _ kind: ModelError.Kind, _ opened: URL) {
                let error = #expect(throws: ModelError.self, "\(says)") {
                    try GGUFFile(path: opened.path)
                }
                #expect(error?.kind == kind, "\(says)")
                #expect(error?.description.contains(says) == true, "\(String(describing: error))")
            }
            let (first, second) = (path("m-00001-of-00002.gguf"), path("m-00002-of-00002.gguf"))
            try replace(first, with: part(0, of: 2, name: "a"))
            refused("m-00002-of-00002.gguf: part 2 of 2 is not there", .missing, first)
            try replace(second, with: part(1, of: 2, name: "b"))
            #expect(try GGUFFile(path: second.path).tensorNames == ["a", "b"])

            try replace(second, with: part(1, of: 2, name: "a"))
            refused("\"a\" is in another part too", .corrupt, first)
            try replace(second, with: part(0, of: 2, name: "b"))
            refused("says that it is part 0 (from 0) of 2", .mismatch, first)
            refused("does not end in \"-00001-of-00002.gguf\"", .mismatch, second)
            try replace(second, with: part(1, of: 3, name: "b"))
            refused("says that it is part 1 (from 0) of 3", .mismatch, first)
            try replace(second, with: GGUFBuilder().build())
            refused("expected an integer, found none", .corrupt, first)
            try replace(second, with: part(1, of: 2, name: "b"))
            try replace(first, with: part(0, of: 2, tensors: 3, name: "a"))
            refused("the 2 parts hold 2 tensors, expected 3", .mismatch, second)
            try replace(first, with: part(7, of: 2, name: "a"))
            refused("part 7 (from 0) of 2", .corrupt, first)
            let odd = path("other.gguf")
            try replace(odd, with: part(0, of: 2, name: "a"))
            refused("the others cannot be found", .mismatch, odd)
            var builder = GGUFBuilder()
            builder.pairs = [
                pair("split.count", 5, bytes(Int32.max)), pair("split.no", 2, [0, 0]),
            ]
            try replace(odd, with: builder.build())
            refused("of 2147483647", .corrupt, odd)
            builder.pairs = [pair("split.count", 8, text("2")), pair("split.no", 2, [0, 0])]
            try replace(odd, with: builder.build())
            refused("expected an integer, found a string", .corrupt, odd)
            builder.pairs = [pair("split.count", 2, [1, 0])]
            try replace(odd, with: builder.build())
            #expect(try GGUFFile(path: odd.path).paths == [odd.path])
        }
    }

    @Test("tensors: dimensions, types, offsets, duplicates")
    func tensors() throws {
        try check([
            .init("9 dimensions") { $0.dimensionCount = 9 },
            .init("4294967295 dimensions") { $0.dimensionCount = .max },
            .init("a dimension of") { $0.dimensions = [1 << 63, 1] },
            .init("past the end") { $0.dimensions = [(1 << 42) + 1, 1] },
            .init("does not go with f32") { $0.dimensions = [1 << 42, 1 << 42] },
            .init("does not go with f32") { $0.dimensions = [1 << 62, 2] },
            .init("GGUF type 99", .unsupported) { $0.type = 99 },
            .init("GGUF type 16", .unsupported) { $0.type = 16 },
            .init("does not go with q8_0") {
                $0.dimensions = [33]
                $0.type = 8
            },
            .init("not a multiple of 32") { $0.offset = 4 },
            .init("past the end") { $0.offset = 32 },
            .init("past the end") { $0.offset = 1 << 40 },
            .init("past the end") { $0.offset = 0xffff_ffff_ffff_ffe0 },
            .init("past the end") { $0.data = 255 },
            .init("overlaps") {
                $0.tensorCount = 2
                $0.second = ("u", 128)
                $0.data = 512
            },
            .init("two of that name") {
                $0.tensorCount = 2
                $0.second = ("t", 256)
                $0.data = 512
            },
        ])
    }
}
