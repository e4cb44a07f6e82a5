import CKernels
import Foundation
import Testing

@testable import Cache

@Suite("Codecs and conversions")
struct CodecTests {
    private static let sizes = [0, 1, 7, 8, 63, 64, 65, 127, 128, 129, 1000, 4096, 8192, 12_345]

    @Test("bit shuffle agrees with its definition and comes back", arguments: [1, 2, 4, 8, 3])
    func bitShuffle(size: Int) {
        for n in [8, 16, 64, 120, 128, 136, 1024, 4096] {
            var generator = OrderGenerator(seed: 1, epoch: n, stream: size)
            let x = (0..<n * size).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            var planes = [UInt8](repeating: 0, count: x.count)
            var scratch = planes
            ck_bit_shuffle(x, &planes, &scratch, n, size)
            var expected = [UInt8](repeating: 0, count: x.count)
            for element in 0..<n {
                for bit in 0..<8 * size {
                    let value = x[element * size + bit / 8] >> (bit % 8) & 1
                    expected[bit * (n / 8) + element / 8] |= value << (element % 8)
                }
            }
            #expect(planes == expected, "\(n) elements")
            var back = [UInt8](repeating: 0, count: x.count)
            ck_bit_unshuffle(planes, &back, &scratch, n, size)
            #expect(back == x, "\(n) elements")
        }
    }

    private static let types: [ElementType] = [.u8, .i8, .u16, .u32, .u64]

    @Test("chunks come back from every codec at odd sizes", arguments: ChunkCodec.allCases)
    func roundTrip(codec: ChunkCodec) {
        for type in Self.types {
            let elementSize = type.size
            for n in Self.sizes {
                var generator = OrderGenerator(seed: 2, epoch: n, stream: elementSize)
                // Few distinct values, so that packing helps.
                let x = (0..<n * elementSize).map { _ in UInt8(generator.next() & 3) }
                guard let packed = x.withUnsafeBytes({ codec.pack($0, type: type) })
                else { continue }
                var back = [UInt8](repeating: 0xEE, count: x.count)
                let isWhole = packed.withUnsafeBytes { packed in
                    unpack(codec, packed, into: &back, elementSize)
                }
                #expect(isWhole && back == x, "\(n) elements of \(elementSize) bytes")
            }
        }
    }

    @Test("damaged frames are refused or unpack within bounds", arguments: ChunkCodec.allCases)
    func damagedFrames(codec: ChunkCodec) throws {
        let x = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 / 50) }
        let packed = try #require(x.withUnsafeBytes { codec.pack($0, type: .u16) })
        var generator = OrderGenerator(seed: 3, epoch: 0, stream: 0)
        var back = [UInt8](repeating: 0, count: x.count)
        for _ in 0..<2000 {
            var bytes = packed
            let position = Int(generator.next() % UInt64(min(400, bytes.count)))
            bytes[position] = UInt8(truncatingIfNeeded: generator.next())
            if generator.next() % 4 == 0 { bytes.removeLast(Int(generator.next() % 100)) }
            // No crash is the claim; the chunk's checksum is what finds the damage.
            _ = bytes.withUnsafeBytes { bytes in
                unpack(codec, bytes, into: &back, 2)
            }
        }
    }

    private func unpack(
        _ codec: ChunkCodec,
        _ packed: UnsafeRawBufferPointer,
        into back: inout [UInt8],
        _ elementSize: Int
    ) -> Bool {
        var scratch = [UInt8](repeating: 0, count: back.count)
        return back.withUnsafeMutableBytes { back in
            scratch.withUnsafeMutableBytes {
                codec.unpack(packed, into: back, elementSize: elementSize, scratch: $0)
            }
        }
    }

    @Test("bf16 rounds to nearest even")
    func bf16() {
        let x: [Float] = [
            1, -2.5, 1.00390625, 1.01171875, 3.4e38, Float.infinity, Float(bitPattern: 0x1_16C2), 0,
            -0.0,
        ]
        var out = [UInt16](repeating: 0, count: x.count)
        ck_to_bf16(x, &out, x.count)
        #expect(out == [0x3F80, 0xC020, 0x3F80, 0x3F82, 0x7F80, 0x7F80, 0x0001, 0, 0x8000])
        var nan = [UInt16](repeating: 0, count: 1)
        ck_to_bf16([Float(bitPattern: 0x7FFF_FFFF)], &nan, 1)
        #expect(nan[0] & 0x7F80 == 0x7F80 && nan[0] & 0x7F != 0)
    }

    @Test("every f16 comes back from f32, and halfway values round to even")
    func f16() {
        let halves = (0...UInt16.max).filter { $0 & 0x7C00 != 0x7C00 || $0 & 0x3FF == 0 }
        var wide = [Float](repeating: 0, count: halves.count)
        ck_f16_to_f32(halves, &wide, halves.count)
        #expect(wide[1] == 0x1p-24)
        var back = [UInt16](repeating: 0, count: halves.count)
        ck_f32_to_f16(wide, &back, wide.count)
        #expect(back == halves)
        let odd: [Float] = [2049, 2051, 65519, 65520, -65536, 0x1p-25, 0x1.8p-25, 1e-9]
        var out = [UInt16](repeating: 0, count: odd.count)
        ck_f32_to_f16(odd, &out, odd.count)
        #expect(out == [0x6800, 0x6802, 0x7BFF, 0x7C00, 0xFC00, 0, 1, 0])
    }

    @Test("CRC-32C and SHA-256 give their published check values")
    func checksums() {
        #expect(Array("123456789".utf8).withUnsafeBytes { crc32c($0) } == 0xE306_9283)
        #expect([UInt8](repeating: 0, count: 32).withUnsafeBytes { crc32c($0) } == 0x8A91_36AA)
        #expect(
            sha256(of: Data("abc".utf8))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )
    }
}
