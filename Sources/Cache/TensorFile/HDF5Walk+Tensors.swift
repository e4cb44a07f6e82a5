import CHDF5
import Foundation

extension HDF5Library {
    /// Walks an open file of any program and lists its arrays; values that lie in the structure itself are
    /// read with it.
    ///
    /// - Parameters:
    ///   - descriptor: HDF5 reads this file and can open no other.
    ///   - fileBytes: Its size, for a process that cannot ask for it.
    static func listTensors(
        descriptor: Int32,
        path: String,
        fileBytes: Int? = nil
    ) throws -> TensorListing {
        let bytes = try fileBytes ?? DurableFile.size(descriptor, path: path)
        let seen = UnsafeMutablePointer<rh5_seen>.allocate(capacity: 1)
        seen.initialize(to: rh5_seen())
        // The file is closed by then.
        defer { seen.deallocate() }
        return try call(path: path) { handles in
            handles.place = "a file of plain arrays"
            let file = try handles.keep(
                rh5_descriptor_open(driver, descriptor, hsize_t(max(0, bytes)), seen),
                H5Fclose,
                "open"
            )
            // Offsets would count from the end of such a block, some of them.
            let creation = try handles.keep(H5Fget_create_plist(file), H5Pclose)
            var block: hsize_t = 0
            try handles.check(H5Pget_userblock(creation, &block), "the user block")
            guard block == 0 else { throw handles.refuse("a user block") }
            var walk = HDF5Walk(
                handles: handles,
                fileBytes: bytes,
                limit: TensorLayout.mostElements
            )
            walk.tensors = [:]
            walk.seen = seen
            try walk.visit(group: file, prefix: "", depth: 0)
            return walk.tensors ?? [:]
        }
    }
}

/// Arrays of any program.
extension HDF5Walk {
    mutating func tensor(of dataset: hid_t, name: String) throws -> TensorLayout {
        let list = try handles.keep(H5Dget_create_plist(dataset), H5Pclose)
        guard H5Pget_external_count(list) == 0 else {
            throw handles.refuse("external storage of '\(name)'")
        }
        let space = try handles.keep(H5Dget_space(dataset), H5Sclose)
        let element = try element(of: dataset, name: name)
        var result = TensorLayout(
            name: name,
            element: element,
            shape: try shape(of: space, name: name),
            storage: .held([])
        )
        let isChunked = rh5_layout_is_chunked(list) != 0
        let isCompact = rh5_layout_is_compact(list) != 0
        guard isChunked || isCompact || rh5_layout_is_contiguous(list) != 0 else {
            throw handles.refuse("'\(name)', a virtual dataset,")
        }
        // Nothing to read.
        guard result.count > 0 else { return result }
        if element == .texts {
            result.storage = .held(try texts(of: dataset, space, result))
        } else if isCompact {
            result.storage = .held(try compact(dataset, result))
        } else if isChunked {
            result.storage = try chunks(of: dataset, list, space, result)
        } else {
            // No place yet where nothing was written.
            guard let offset = Int(exactly: H5Dget_offset(dataset)) else {
                throw handles.refuse("'\(name)', which was never written,")
            }
            result.storage = .contiguous(offset: offset)
        }
        return result
    }

    private func element(of dataset: hid_t, name: String) throws -> TensorLayout.Element {
        let stored = try handles.keep(H5Dget_type(dataset), H5Tclose)
        guard H5Tcommitted(stored) == 0 else {
            throw handles.refuse("the type of '\(name)', which has a name of its own,")
        }
        let kind = H5Tget_class(stored)
        if kind == H5T_STRING {
            if H5Tis_variable_str(stored) > 0 { return .texts }
            let size = H5Tget_size(stored)
            guard size > 0, size <= TensorLayout.longestText,
                H5Tget_strpad(stored) != H5T_STR_SPACEPAD
            else { throw handles.refuse("the text type of '\(name)' (\(size) bytes)") }
            return .text(bytes: size)
        }
        for number in TensorNumber.allCases {
            let known = try handles.keep(number.handle(), H5Tclose)
            if H5Tequal(stored, known) > 0 { return .number(number) }
        }
        let isNumber = kind == H5T_INTEGER || kind == H5T_FLOAT
        guard isNumber, H5Tget_order(stored) == H5T_ORDER_BE else {
            throw handles.refuse("the element type of '\(name)' (\(Self.words(kind)))")
        }
        throw handles.refuse("the byte order of '\(name)' (big-endian)")
    }

    private static func words(_ kind: H5T_class_t) -> String {
        switch kind {
        case H5T_INTEGER, H5T_FLOAT: "a number of another size"
        case H5T_COMPOUND: "compound"
        case H5T_REFERENCE: "references"
        case H5T_ENUM: "an enumeration, such as h5py makes of bool"
        case H5T_VLEN: "lists of different lengths"
        case H5T_ARRAY: "arrays"
        case H5T_OPAQUE: "opaque"
        default: "neither numbers nor text"
        }
    }

    // MARK: Values in the structure

    /// Counts bytes against what the walk may hold.
    private mutating func hold(_ bytes: Int, _ name: String) throws {
        heldBytes += bytes
        guard heldBytes <= TensorLayout.mostHeldBytes else {
            throw handles.refuse("so much text (at '\(name)')")
        }
    }

    private mutating func compact(_ dataset: hid_t, _ array: TensorLayout) throws -> [UInt8] {
        try hold(array.bytes, array.name)
        let type = try handles.keep(H5Dget_type(dataset), H5Tclose)
        var values = [UInt8](repeating: 0, count: array.bytes)
        try handles.check(rh5_read_all(dataset, type, &values), "the values of '\(array.name)'")
        return values
    }

    /// Texts lie in a heap that only HDF5 can read; some at a time, in case many share one.
    private mutating func texts(
        of dataset: hid_t,
        _ space: hid_t,
        _ array: TensorLayout
    ) throws -> [UInt8] {
        let name = array.name
        guard array.shape.count < 2, array.count <= TensorLayout.mostTexts else {
            throw handles.refuse("'\(name)', texts of shape \(array.shape),")
        }
        let stored = try handles.keep(H5Dget_type(dataset), H5Tclose)
        let type = try handles.keep(rh5_type_texts(H5Tget_cset(stored)), H5Tclose)
        var out = WireSink()
        let step = 256
        var texts = [UnsafeMutablePointer<CChar>?](repeating: nil, count: step)
        for start in stride(from: 0, to: array.count, by: step) {
            let count = min(step, array.count - start)
            for i in 0..<step { texts[i] = nil }
            defer { rh5_free_texts(type, hsize_t(count), &texts) }
            try handles.check(
                rh5_read(dataset, type, space, hsize_t(start), hsize_t(count), &texts),
                "the texts of '\(name)'"
            )
            for text in texts[..<count] {
                let bytes = text.map { UnsafeBufferPointer(start: $0, count: strlen($0)) }
                try hold(4 + (bytes?.count ?? 0), name)
                out.put(bytes: bytes?.map { UInt8(bitPattern: $0) } ?? [])
            }
        }
        return out.bytes
    }

    // MARK: Chunks

    private func chunks(
        of dataset: hid_t,
        _ list: hid_t,
        _ space: hid_t,
        _ array: TensorLayout
    ) throws -> TensorLayout.Storage {
        let name = array.name
        let codec =
            H5Pget_nfilters(list) == 0
            ? nil : try self.codec(of: list, elementSize: array.elementSize, name: name)
        var chunk = [hsize_t](repeating: 1, count: 33)
        guard Int(H5Pget_chunk(list, 33, &chunk)) == array.shape.count,
            let rows = Int(exactly: chunk[0]), let columns = Int(exactly: chunk[1]),
            (1...ChunkCodec.largestChunk / array.elementSize).contains(rows),
            (1...ChunkCodec.largestChunk / array.elementSize / rows).contains(columns)
        else { throw handles.refuse("the chunk shape of '\(name)'") }
        let down = (array.rows - 1) / rows + 1
        let across = (array.columns - 1) / columns + 1
        let (expected, overflow) = down.multipliedReportingOverflow(by: across)
        guard !overflow, expected <= ChunkPlace.mostOfAnArray else {
            throw handles.refuse("'\(name)', an array of \(expected) chunks,")
        }
        var count: hsize_t = 0
        try handles.check(H5Dget_num_chunks(dataset, space, &count), name)
        guard count == hsize_t(expected) else {
            throw handles.refuse("'\(name)', of which \(count) of \(expected) chunks were written,")
        }
        let raw = rows * columns * array.elementSize
        var buffer = [UInt8](repeating: 0, count: TensorLayout.mostPacked(raw))
        let places = try (0..<expected).map { ordinal in
            let (row, column) = ordinal.quotientAndRemainder(dividingBy: across)
            let start = [hsize_t(row * rows), hsize_t(column * columns)]
            guard let place = try place(of: dataset, start, codec, &buffer) else {
                throw handles.refuse("the place of chunk \(ordinal) of '\(name)'")
            }
            return place
        }
        return .chunked(codec, rows: rows, columns: columns, places)
    }

    /// The chunk that starts at an element; nil where HDF5 says what cannot be.
    ///
    /// - Parameter buffer: Room for the largest chunk; nothing is put there.
    private func place(
        of dataset: hid_t,
        _ start: [hsize_t],
        _ codec: ChunkCodec?,
        _ buffer: inout [UInt8]
    ) throws -> ChunkPlace? {
        guard let seen else { return nil }
        var (size, mask) = (hsize_t(0), UInt32(0))
        try handles.check(H5Dget_chunk_storage_size(dataset, start, &size), "a chunk's size")
        guard size > 0, size <= hsize_t(buffer.count) else { return nil }
        seen.pointee = rh5_seen(is_on: 1, address: 0, size: 0)
        defer { seen.pointee.is_on = 0 }
        try handles.check(
            H5Dread_chunk(dataset, rh5_default(), start, &mask, &buffer),
            "a chunk's place"
        )
        let isRaw = codec == nil || mask == codec?.rawMask
        guard seen.pointee.size == Int(size), seen.pointee.address > 0,
            let address = Int(exactly: seen.pointee.address),
            mask == (isRaw ? codec?.rawMask ?? 0 : 0)
        else { return nil }
        return ChunkPlace(offset: address, size: Int(size), isRaw: isRaw, checksum: 0)
    }
}

extension TensorNumber {
    /// A new HDF5 type handle; the caller closes it.
    func handle() -> hid_t {
        switch self {
        case .i8: rh5_type_i8()
        case .u8: rh5_type_u8()
        case .i16: rh5_type_i16()
        case .u16: rh5_type_u16()
        case .i32: rh5_type_i32()
        case .u32: rh5_type_u32()
        case .i64: rh5_type_i64()
        case .u64: rh5_type_u64()
        case .f16: rh5_type_f16()
        case .f32: rh5_type_f32()
        case .f64: rh5_type_f64()
        }
    }
}
