import CHDF5
import Foundation

/// Where the chunks of an array lie.
extension HDF5Walk {
    /// The chunks of an array in order.
    ///
    /// HDF5 1.10 finds the address of chunk i by passing i others, but its size at once. Chunks are written
    /// one after another, so that a few addresses and all sizes give the others: where the distance of two
    /// chunks is the sum of the sizes from the one to the other, nothing lies between them. A file of which
    /// this is not true is told by the checksums of its chunks.
    func places(of dataset: hid_t, space: hid_t, in array: ArrayLayout) throws -> [ChunkPlace] {
        let across = array.chunksAcross
        let (expected, overflow) = ((array.rows + array.chunkRows - 1) / array.chunkRows)
            .multipliedReportingOverflow(by: across)
        guard !overflow, expected <= ChunkPlace.mostOfAnArray else {
            throw handles.refuse("\(expected) chunks")
        }
        var count: hsize_t = 0
        try handles.check(H5Dget_num_chunks(dataset, space, &count), array.name)
        guard count == hsize_t(expected) else {
            throw CacheError.corrupt(
                handles.path,
                "'\(array.name)' has \(count) chunks, not \(expected)"
            )
        }
        let checksums = try checksums(of: dataset, name: array.name, count: expected)
        let rawSize = array.chunkBytes
        var result = try (0..<expected).map { ordinal in
            var offset = self.offset(ofChunk: ordinal, in: array)
            var size: hsize_t = 0
            try handles.check(H5Dget_chunk_storage_size(dataset, &offset, &size), array.name)
            guard size > 0, size <= hsize_t(rawSize) else { throw misplaced(ordinal, array) }
            return ChunkPlace(
                offset: 0,
                size: Int(size),
                isRaw: Int(size) == rawSize,
                checksum: checksums[ordinal]
            )
        }
        guard expected > 0 else { return result }
        var waiting = [0..<expected]
        result[0].offset = try address(of: 0, result[0], dataset, space, in: array)
        if expected > 1 {
            let last = expected - 1
            result[last].offset = try address(of: last, result[last], dataset, space, in: array)
        }
        while let range = waiting.popLast() {
            let (first, last) = (range.lowerBound, range.upperBound - 1)
            guard last - first > 1 else { continue }
            let bytes = result[first..<last].reduce(0) { $0 + $1.size }
            if result[last].offset - result[first].offset == bytes {
                for i in first + 1..<last {
                    result[i].offset = result[i - 1].offset + result[i - 1].size
                }
            } else {
                let middle = (first + last) / 2
                result[middle].offset = try address(
                    of: middle,
                    result[middle],
                    dataset,
                    space,
                    in: array
                )
                waiting += [first..<middle + 1, middle..<last + 1]
            }
        }
        return result
    }

    /// What HDF5 says of one chunk.
    private func address(
        of ordinal: Int,
        _ place: ChunkPlace,
        _ dataset: hid_t,
        _ space: hid_t,
        in array: ArrayLayout
    ) throws -> Int {
        var offset = [hsize_t](repeating: 0, count: 2)
        var mask: UInt32 = 0
        var address: haddr_t = 0
        var size: hsize_t = 0
        try handles.check(
            H5Dget_chunk_info(dataset, space, hsize_t(ordinal), &offset, &mask, &address, &size),
            array.name
        )
        guard offset == self.offset(ofChunk: ordinal, in: array), size == hsize_t(place.size),
            mask == (place.isRaw ? array.codec.rawMask : 0), address <= haddr_t(fileBytes),
            size <= haddr_t(fileBytes) - address
        else { throw misplaced(ordinal, array) }
        return Int(address)
    }

    /// The first element of a chunk.
    private func offset(ofChunk ordinal: Int, in array: ArrayLayout) -> [hsize_t] {
        let (row, part) = ordinal.quotientAndRemainder(dividingBy: array.chunksAcross)
        return [
            hsize_t(row * array.chunkRows),
            hsize_t(part * (array.chunkColumns ?? 0)),
        ]
    }

    private func misplaced(_ ordinal: Int, _ array: ArrayLayout) -> CacheError {
        CacheError.corrupt(handles.path, "chunk \(ordinal) of '\(array.name)' is out of place")
    }

    private func checksums(of dataset: hid_t, name: String, count: Int) throws -> [UInt32] {
        let attribute = try handles.keep(
            H5Aopen(dataset, HDF5Library.checksumAttribute, rh5_default()),
            H5Aclose,
            "the checksums of '\(name)'"
        )
        let stored = try handles.keep(H5Aget_type(attribute), H5Tclose)
        let type = try handles.keep(ElementType.u32.handle(), H5Tclose)
        let space = try handles.keep(H5Aget_space(attribute), H5Sclose)
        guard H5Tequal(stored, type) > 0, H5Sget_simple_extent_npoints(space) == hssize_t(count)
        else { throw handles.refuse("the checksum table of '\(name)'") }
        var values = [UInt32](repeating: 0, count: count)
        try handles.check(H5Aread(attribute, type, &values), "the checksums of '\(name)'")
        return values
    }
}
