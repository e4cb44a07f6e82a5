import CKernels
import CZlib

/// Filter 1 of HDF5: a zlib stream.
enum Deflate {
    /// What is looked for beside unequal frequencies of bytes.
    enum Search {
        /// Nothing but runs of one byte: numbers rarely repeat, and looking for it costs size and time.
        case runs
        /// Anything that was there before: words do.
        case repeats
    }

    static func pack(_ raw: UnsafeRawBufferPointer, finds search: Search) -> [UInt8]? {
        var stream = z_stream()
        let strategy = search == .runs ? Z_RLE : Z_DEFAULT_STRATEGY
        guard rz_deflate_init(&stream, 6, 15, strategy) == Z_OK else { return nil }
        defer { deflateEnd(&stream) }
        let bound = Int(deflateBound(&stream, UInt(raw.count)))
        return [UInt8](unsafeUninitializedCapacity: bound) { out, count in
            give(raw, to: &stream)
            take(UnsafeMutableRawBufferPointer(out), from: &stream)
            // With the bound as room, one call does it.
            count = deflate(&stream, Z_FINISH) == Z_STREAM_END ? Int(stream.total_out) : raw.count
        }
    }

    /// - Parameter verifies: Compares the stream's own checksum, where the chunk has none of ours.
    static func unpack(
        _ packed: UnsafeRawBufferPointer,
        into raw: UnsafeMutableRawBufferPointer,
        verifies: Bool = false
    ) -> Bool {
        // Two bytes of header and four of Adler-32. Where the chunk's CRC-32C was compared before, the
        // stream is read without them, which is a sixth faster.
        guard packed.count > 6, packed[0] & 0x0F == 8, packed[0] >> 4 <= 7, packed[1] & 0x20 == 0,
            (Int(packed[0]) << 8 | Int(packed[1])) % 31 == 0
        else { return false }
        var stream = z_stream()
        guard rz_inflate_init(&stream, verifies ? 15 : -15) == Z_OK else { return false }
        defer { inflateEnd(&stream) }
        give(verifies ? packed : UnsafeRawBufferPointer(rebasing: packed[2...]), to: &stream)
        take(raw, from: &stream)
        return inflate(&stream, Z_FINISH) == Z_STREAM_END && Int(stream.total_out) == raw.count
            && stream.avail_in == (verifies ? 0 : 4)
    }

    private static func give(_ bytes: UnsafeRawBufferPointer, to stream: inout z_stream) {
        // zlib only reads it; the field lacks a `const` unless ZLIB_CONST is set.
        stream.next_in = UnsafeMutablePointer(
            mutating: bytes.bindMemory(to: UInt8.self).baseAddress
        )
        stream.avail_in = UInt32(bytes.count)
    }

    private static func take(_ room: UnsafeMutableRawBufferPointer, from stream: inout z_stream) {
        stream.next_out = room.bindMemory(to: UInt8.self).baseAddress
        stream.avail_out = UInt32(room.count)
    }
}

/// Filter 2 of HDF5: the first bytes of all elements, then all second bytes, ….
enum ByteShuffle {
    static func shuffled<T>(
        _ raw: UnsafeRawBufferPointer,
        elementSize: Int,
        _ body: (UnsafeRawBufferPointer) -> T
    ) -> T {
        withUnsafeTemporaryAllocation(byteCount: raw.count, alignment: 64) { planes in
            let (whole, count) = (raw.count / elementSize * elementSize, raw.count / elementSize)
            if let from = raw.bindMemory(to: UInt8.self).baseAddress,
                let to = planes.bindMemory(to: UInt8.self).baseAddress
            {
                ck_byte_shuffle(from, to, count, elementSize)
                (to + whole).update(from: from + whole, count: raw.count - whole)
            }
            return body(UnsafeRawBufferPointer(planes))
        }
    }

    static func unshuffle(
        _ planes: UnsafeMutableRawBufferPointer,
        into raw: UnsafeMutableRawBufferPointer,
        elementSize: Int
    ) {
        let (whole, count) = (raw.count / elementSize * elementSize, raw.count / elementSize)
        guard let from = planes.bindMemory(to: UInt8.self).baseAddress,
            let to = raw.bindMemory(to: UInt8.self).baseAddress
        else { return }
        ck_byte_unshuffle(UnsafePointer(from), to, count, elementSize)
        (to + whole).update(from: from + whole, count: raw.count - whole)
    }
}
