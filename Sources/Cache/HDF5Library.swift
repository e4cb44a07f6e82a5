import CHDF5
import Foundation

/// The one door to the HDF5 library: a lock around it, its errors as Swift errors.
///
/// HDF5 only ever sees files that were checked (SHA-256) or that we made; chunks are packed, read
/// and unpacked outside it. No handle outlives the call that opened it.
enum HDF5Library {
    /// Name of the root attribute that holds a JSON header, and of the checksums of an array.
    static let headerAttribute = "retort"
    static let checksumAttribute = "crc32c"

    private static let lock = NSLock()
    private static let isReady: Bool = {
        // Its exit handler loops over errors of dead threads; we close everything ourselves.
        H5dont_atexit()
        guard H5open() >= 0, H5PLset_loading_state(0) >= 0 else { return false }
        return rh5_register_filter(ChunkCodec.Filter.lz4ID, "lz4 (retort)") >= 0
            && rh5_register_filter(ChunkCodec.Filter.bitshuffleID, "bitshuffle (retort)") >= 0
            && driver >= 0
    }()
    /// Reads an open descriptor, and nothing else.
    static let driver = rh5_register_driver()

    /// Starts the library, for a process that cannot open files later on.
    static func start() -> Bool { lock.withLock { isReady } }

    static func call<T>(path: String, _ body: (Handles) throws -> T) throws -> T {
        lock.lock()
        defer { lock.unlock() }
        guard isReady else {
            throw CacheError.noLibrary(path, "the HDF5 library does not start")
        }
        rh5_silence()
        let handles = Handles(path: path)
        defer { handles.closeAll() }
        return try body(handles)
    }

    // MARK: Writing

    /// Writes a whole HDF5 file over an open, empty one: the same arrays always give the same bytes.
    ///
    /// HDF5 1.10.8 loses data silently when a disk fills up. So the space of every batch of chunks is
    /// reserved before HDF5 writes them, and the caller reads everything back.
    /// - Parameters:
    ///   - arrays: Their chunks are asked for in order, a batch at a time.
    ///   - descriptor: HDF5 opens the same file, whatever the path is now.
    /// - Returns: The bytes of the file.
    static func write(
        _ arrays: [StoredArray],
        header: String,
        descriptor: Int32,
        path: String
    ) throws -> Int {
        try call(path: path) { handles in
            let access = try handles.keep(rh5_access_write(), H5Pclose)
            let creation = try handles.keep(rh5_create_file_list(), H5Pclose)
            // Enough for HDF5's own structure: names, headers, and the index and checksum of chunks. It
            // writes at once and empties the file before, so the room is taken twice.
            var room = DiskReservation(descriptor: descriptor, path: path)
            try room.add(header.utf8.count + 4096)
            for array in arrays { try room.add(2048 + 64 * array.chunkCount) }
            let file = try handles.keep(
                rh5_file_create("/proc/self/fd/\(descriptor)", creation, access),
                H5Fclose,
                "create"
            )
            try room.renew()
            try writeText(header, to: file, handles)
            try makeGroups(of: arrays.map(\.name), in: file, handles)
            for array in arrays { try write(array, to: file, &room, handles) }
            // Datasets must be closed before the size is final, the file after.
            try handles.closeAll(downTo: file)
            try handles.check(rh5_file_flush(file), "flush")
            try handles.closeAll(downToCount: 0)
        }
        return try DiskReservation.cutToEnd(descriptor: descriptor, path: path)
    }

    private static func write(
        _ array: StoredArray,
        to file: hid_t,
        _ room: inout DiskReservation,
        _ handles: Handles
    ) throws {
        let mark = handles.count
        var shape = [hsize_t(array.rows)]
        if let columns = array.columns { shape.append(hsize_t(columns)) }
        let space = try handles.keep(H5Screate_simple(Int32(shape.count), shape, nil), H5Sclose)
        let list = try handles.keep(rh5_create_dataset_list(), H5Pclose)
        let isEmpty = array.rows == 0 || array.columns == 0
        if !isEmpty {
            var chunk = shape
            chunk[0] = hsize_t(array.chunkRows)
            if let columns = array.chunkColumns { chunk[1] = hsize_t(columns) }
            try handles.check(H5Pset_chunk(list, Int32(chunk.count), chunk), "chunk shape")
            for filter in array.codec.filters(elementSize: array.type.size) {
                try handles.check(
                    H5Pset_filter(
                        list,
                        filter.id,
                        UInt32(H5Z_FLAG_MANDATORY),
                        filter.parameters.count,
                        filter.parameters
                    ),
                    "filter \(filter.id)"
                )
            }
        }
        let type = try handles.keep(array.type.handle(), H5Tclose)
        let dataset = try handles.keep(
            H5Dcreate2(file, array.name, type, space, rh5_default(), list, rh5_default()),
            H5Dclose,
            array.name
        )
        if !isEmpty {
            // Its place in the file comes before the chunks', its content is known after them.
            let attribute = try checksumAttribute(array.chunkCount, of: dataset, handles)
            var checksums: [UInt32] = []
            for start in stride(from: 0, to: array.chunkCount, by: ArrayBuilder.batch) {
                let range = start..<min(start + ArrayBuilder.batch, array.chunkCount)
                let chunks = try array.chunks(range)
                try room.add(chunks.reduce(0) { $0 + $1.bytes.count })
                for (i, chunk) in zip(range, chunks) {
                    var offset = [hsize_t](repeating: 0, count: shape.count)
                    offset[0] = hsize_t(i / array.chunksAcross * array.chunkRows)
                    if let columns = array.chunkColumns {
                        offset[1] = hsize_t(i % array.chunksAcross * columns)
                    }
                    try handles.check(
                        H5Dwrite_chunk(
                            dataset,
                            rh5_default(),
                            chunk.mask,
                            offset,
                            chunk.bytes.count,
                            chunk.bytes
                        ),
                        array.name
                    )
                    checksums.append(chunk.checksum)
                }
            }
            let type = try handles.keep(ElementType.u32.handle(), H5Tclose)
            try handles.check(H5Awrite(attribute, type, checksums), "checksums")
        }
        try handles.closeAll(downToCount: mark)
    }

    private static func makeGroups(of names: [String], in file: hid_t, _ handles: Handles) throws {
        var groups: Set<String> = []
        for name in names {
            let parts = name.split(separator: "/").dropLast()
            for depth in parts.indices { groups.insert(parts[...depth].joined(separator: "/")) }
        }
        // In this order each comes after the one that it lies in.
        for group in groups.sorted() {
            let list = try handles.keep(rh5_create_group_list(), H5Pclose)
            _ = try handles.keep(
                H5Gcreate2(file, group, rh5_default(), list, rh5_default()),
                H5Gclose
            )
        }
    }

    private static func writeText(_ text: String, to object: hid_t, _ handles: Handles) throws {
        let bytes = Array(text.utf8)
        let type = try handles.keep(rh5_type_text(bytes.count), H5Tclose)
        let space = try handles.keep(H5Screate(H5S_SCALAR), H5Sclose)
        let attribute = try handles.keep(
            H5Acreate2(object, headerAttribute, type, space, rh5_default(), rh5_default()),
            H5Aclose,
            "header attribute"
        )
        try handles.check(H5Awrite(attribute, type, bytes), "header attribute")
    }

    private static func checksumAttribute(
        _ count: Int,
        of object: hid_t,
        _ handles: Handles
    ) throws -> hid_t {
        let type = try handles.keep(ElementType.u32.handle(), H5Tclose)
        let space = try handles.keep(H5Screate_simple(1, [hsize_t(count)], nil), H5Sclose)
        return try handles.keep(
            H5Acreate2(object, checksumAttribute, type, space, rh5_default(), rh5_default()),
            H5Aclose,
            "checksums"
        )
    }

    /// Makes a file at `path` with room for plain arrays, each in one piece, and says where they lie.
    ///
    /// The values are the caller's to write at those offsets; the library writes its structure only, and
    /// that is read again here.
    static func layOut(_ arrays: [ResultFile.Layout], path: String) throws -> [String: Int] {
        try call(path: path) { handles in
            let access = try handles.keep(rh5_access_write(), H5Pclose)
            let creation = try handles.keep(rh5_create_file_list(), H5Pclose)
            let file = try handles.keep(rh5_file_create(path, creation, access), H5Fclose, "create")
            try makeGroups(of: arrays.map(\.name), in: file, handles)
            for array in arrays {
                let shape = array.shape.map { hsize_t($0) }
                let space = try handles.keep(
                    shape.isEmpty
                        ? H5Screate(H5S_SCALAR)
                        : H5Screate_simple(Int32(shape.count), shape, nil),
                    H5Sclose
                )
                let list = try handles.keep(rh5_create_contiguous_list(), H5Pclose)
                let type = try handles.keep(array.type.number.handle(), H5Tclose)
                _ = try handles.keep(
                    H5Dcreate2(file, array.name, type, space, rh5_default(), list, rh5_default()),
                    H5Dclose,
                    array.name
                )
            }
            try handles.closeAll(downToCount: 0)
            let again = try handles.keep(
                rh5_file_open(path, try handles.keep(rh5_access_read(), H5Pclose)),
                H5Fclose,
                "open"
            )
            var offsets: [String: Int] = [:]
            for array in arrays {
                let dataset = try handles.keep(
                    H5Dopen2(again, array.name, rh5_default()),
                    H5Dclose,
                    array.name
                )
                let offset = H5Dget_offset(dataset)
                guard let place = Int(exactly: offset), place > 0 else {
                    throw handles.error(array.name)
                }
                offsets[array.name] = place
            }
            return offsets
        }
    }

    // MARK: Reading

    /// Walks an open file and lists its arrays; anything that we do not write is refused.
    ///
    /// - Parameters:
    ///   - descriptor: The file that was checked; HDF5 reads this one and can open no other.
    ///   - fileBytes: Its size, for a process that cannot ask for it.
    ///   - limit: The most elements that any array may have.
    static func list(
        descriptor: Int32,
        path: String,
        fileBytes: Int? = nil,
        limit: Int
    ) throws -> FileListing {
        let bytes = try fileBytes ?? DurableFile.size(descriptor, path: path)
        return try call(path: path) { handles in
            let file = try handles.keep(
                rh5_descriptor_open(driver, descriptor, hsize_t(max(0, bytes)), nil),
                H5Fclose,
                "open"
            )
            // No number of elements, in bytes, is beyond an Int.
            var walk = HDF5Walk(handles: handles, fileBytes: bytes, limit: min(limit, 1 << 56))
            try walk.visit(group: file, prefix: "", depth: 0)
            return FileListing(header: try walk.header(of: file), arrays: walk.arrays)
        }
    }
}

extension ElementType {
    /// A new HDF5 type handle; the caller closes it.
    func handle() -> hid_t {
        switch self {
        case .u8: rh5_type_u8()
        case .i8: rh5_type_i8()
        case .u16: rh5_type_u16()
        case .u32: rh5_type_u32()
        case .u64: rh5_type_u64()
        case .bf16: rh5_type_bf16()
        case .f16: rh5_type_f16()
        case .f32: rh5_type_f32()
        }
    }
}

/// The handles of one call, closed in reverse order when it ends.
final class Handles {
    let path: String
    /// What kind of file it is, in words.
    var place = "a cache"
    private var open: [(id: hid_t, close: @convention(c) (hid_t) -> herr_t)] = []

    init(path: String) { self.path = path }

    var count: Int { open.count }

    func keep(
        _ id: hid_t,
        _ close: @convention(c) (hid_t) -> herr_t,
        _ what: String = "structure"
    ) throws -> hid_t {
        guard id >= 0 else { throw error(what) }
        open.append((id, close))
        return id
    }

    func check(_ result: herr_t, _ what: String) throws {
        guard result >= 0 else { throw error(what) }
    }

    func closeAll(downTo id: hid_t) throws {
        guard let index = open.firstIndex(where: { $0.id == id }) else { return }
        try closeAll(downToCount: index + 1)
    }

    func closeAll(downToCount count: Int) throws {
        while open.count > count {
            let last = open.removeLast()
            try check(last.close(last.id), "close")
        }
    }

    func closeAll() {
        while let last = open.popLast() { _ = last.close(last.id) }
    }

    func error(_ what: String) -> CacheError {
        var text = [CChar](repeating: 0, count: 256)
        text.withUnsafeMutableBufferPointer { rh5_error_text($0.baseAddress, $0.count) }
        let bytes = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let reason = String(decoding: bytes, as: UTF8.self)
        return .corrupt(path, "HDF5 cannot handle \(what): \(reason)")
    }

    func refuse(_ what: String) -> CacheError {
        .foreign(path, "\(what) is not allowed in \(place)")
    }
}
