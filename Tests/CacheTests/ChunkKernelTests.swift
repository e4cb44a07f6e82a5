import CKernels
import Testing

@testable import Cache

/// The kernels under every chunk, at the lengths where their wide, narrow and bytewise loops meet.
@Suite("Chunk kernels")
struct ChunkKernelTests {
    private static func bytes(_ count: Int, stream: Int) -> [UInt8] {
        var generator = OrderGenerator(seed: 7, epoch: count, stream: stream)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    }

    /// CRC-32C bit by bit: the register after one more byte.
    private static func next(_ register: UInt32, _ byte: UInt8) -> UInt32 {
        var crc = register ^ UInt32(byte)
        for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0) }
        return crc
    }

    @Test(
        "CRC-32C agrees with its definition at every length and alignment",
        arguments: [0, 1, 3, 8, 16, 31, 63],
        [0, 0x1234_5678, UInt32.max]
    )
    func checksum(offset: Int, seed: UInt32) {
        let x = Self.bytes(2100 + offset, stream: offset)
        x.withUnsafeBufferPointer { x in
            guard let base = x.baseAddress else { return }
            var register = ~seed
            var wrong: [Int] = []
            for n in 0...2000 {
                if ck_crc32c(seed, base + offset, n) != ~register { wrong.append(n) }
                register = Self.next(register, x[offset + n])
            }
            #expect(wrong.isEmpty)
        }
    }

    @Test("CRC-32C of a long buffer is that of its parts, one after the other")
    func checksumOfParts() {
        let x = Self.bytes(300_001, stream: 1)
        x.withUnsafeBufferPointer { x in
            guard let base = x.baseAddress else { return }
            let whole = ck_crc32c(5, base, x.count)
            #expect(whole == ~x.reduce(~5) { Self.next($0, $1) })
            for cut in [0, 1, 63, 64, 255, 256, 4095, 150_001, 299_999, 300_001] {
                let first = ck_crc32c(5, base, cut)
                #expect(ck_crc32c(first, base + cut, x.count - cut) == whole, "cut at \(cut)")
            }
        }
    }

    @Test("bit shuffle is exact both ways at every plane length and writes nothing past its end")
    func bitShuffle() {
        for size in [1, 2, 4, 8, 3] {
            for plane in Array(0...70) + [127, 128, 129, 191, 192, 200, 512] {
                let count = 8 * plane * size
                let planes = Self.bytes(count, stream: size)
                var expected = [UInt8](repeating: 0xA5, count: count + 64)
                for i in 0..<count { expected[i] = 0 }
                for (i, byte) in planes.enumerated() {
                    let (bit, group) = (i / plane, i % plane)
                    for element in 0..<8 {
                        let at = (8 * group + element) * size + bit / 8
                        expected[at] |= (byte >> UInt8(element) & 1) << UInt8(bit % 8)
                    }
                }
                var out = [UInt8](repeating: 0xA5, count: count + 64)
                var scratch = [UInt8](repeating: 0, count: count + 1)
                ck_bit_unshuffle(planes, &out, &scratch, 8 * plane, size)
                #expect(out == expected, "planes of \(plane) bytes, elements of \(size)")
                let guarded = planes + [UInt8](repeating: 0xA5, count: 64)
                var back = [UInt8](repeating: 0xA5, count: count + 64)
                ck_bit_shuffle(expected, &back, &scratch, 8 * plane, size)
                #expect(back == guarded, "planes of \(plane) bytes, elements of \(size)")
            }
        }
    }
}
