import CHDF5

/// A walk over a file's objects that lets only our own kinds through (PRACTICE.md 5.2), or, for a file
/// that people wrote with other programs, plain arrays.
struct HDF5Walk {
    let handles: Handles
    let fileBytes: Int
    let limit: Int
    /// What a file of ours holds.
    var arrays: [String: ArrayLayout] = [:]
    /// What a file of any program holds; such arrays are looked for instead where `tensors` is not nil.
    var tensors: [String: TensorLayout]?
    /// Where the driver says that chunks lie, for such arrays.
    var seen: UnsafeMutablePointer<rh5_seen>?
    /// Bytes of values that the walk itself read.
    var heldBytes = 0
    private var objects = 0

    init(handles: Handles, fileBytes: Int, limit: Int) {
        self.handles = handles
        self.fileBytes = fileBytes
        self.limit = limit
    }

    mutating func visit(group: hid_t, prefix: String, depth: Int) throws {
        guard depth <= (tensors == nil ? 2 : TensorLayout.mostParts - 1) else {
            throw handles.refuse("nesting below '\(prefix)'")
        }
        var info = H5G_info_t()
        try handles.check(H5Gget_info(group, &info), "group '/\(prefix)'")
        guard info.nlinks <= 64 else { throw handles.refuse("a group of \(info.nlinks) links") }
        for i in 0..<info.nlinks {
            try visitLink(i, in: group, prefix: prefix, depth: depth)
        }
    }

    private mutating func visitLink(
        _ index: hsize_t,
        in group: hid_t,
        prefix: String,
        depth: Int
    ) throws {
        let mark = handles.count
        let name = try linkName(index, in: group)
        let path = prefix + name
        var link = H5L_info_t()
        try handles.check(H5Lget_info(group, name, &link, rh5_default()), "link '\(path)'")
        guard rh5_link_is_hard(&link) != 0 else {
            throw handles.refuse("'\(path)', a soft or external link,")
        }
        objects += 1
        guard objects <= 128 else { throw handles.refuse("more than 128 objects") }
        let access = try handles.keep(rh5_link_access(), H5Pclose)
        let object = try handles.keep(
            H5Oopen(group, name, access),
            H5Oclose,
            "object '\(path)'"
        )
        switch H5Iget_type(object) {
        case H5I_GROUP:
            try visit(group: object, prefix: path + "/", depth: depth + 1)
        case H5I_DATASET:
            if tensors == nil {
                arrays[path] = try layout(of: object, name: path)
            } else {
                let tensor = try tensor(of: object, name: path)
                tensors?[path] = tensor
            }
        default:
            throw handles.refuse("'\(path)', neither a group nor an array,")
        }
        try handles.closeAll(downToCount: mark)
    }

    private func linkName(_ index: hsize_t, in group: hid_t) throws -> String {
        var buffer = [CChar](repeating: 0, count: 65)
        let length = H5Lget_name_by_idx(
            group,
            ".",
            H5_INDEX_NAME,
            H5_ITER_INC,
            index,
            &buffer,
            buffer.count,
            rh5_default()
        )
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let isPlain =
            tensors == nil
            ? bytes.allSatisfy {
                ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x5F
            } : TensorLayout.isPlain(bytes[...])
        guard length > 0, length <= 64, isPlain else { throw handles.refuse("an odd name") }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func layout(of dataset: hid_t, name: String) throws -> ArrayLayout {
        let list = try handles.keep(H5Dget_create_plist(dataset), H5Pclose)
        guard H5Pget_external_count(list) == 0 else {
            throw handles.refuse("external storage of '\(name)'")
        }
        let type = try elementType(of: dataset, name: name)
        let space = try handles.keep(H5Dget_space(dataset), H5Sclose)
        let shape = try self.shape(of: space, name: name)
        let columns = shape.count == 2 ? shape[1] : nil
        var result = ArrayLayout(
            name: name,
            type: type,
            codec: .lz4,
            rows: shape[0],
            columns: columns,
            chunkRows: 1,
            chunks: []
        )
        if shape.contains(0) {
            guard rh5_layout_is_contiguous(list) != 0 else {
                throw handles.refuse("the layout of empty '\(name)'")
            }
            return result
        }
        guard rh5_layout_is_chunked(list) != 0 else {
            throw handles.refuse("the layout of '\(name)' (virtual, or not in chunks)")
        }
        result.codec = try codec(of: list, elementSize: type.size, name: name)
        var chunk = [hsize_t](repeating: 0, count: 3)
        guard Int(H5Pget_chunk(list, 3, &chunk)) == shape.count,
            chunk[0] > 0, chunk[0] <= hsize_t(shape[0]),
            columns == nil || chunk[1] == hsize_t(shape[1])
                || (chunk[0] == 1 && chunk[1] > 0 && chunk[1] < hsize_t(shape[1])),
            Int(chunk[0]) <= ChunkCodec.largestChunk / result.rowBytes
        else { throw handles.refuse("the chunk shape of '\(name)'") }
        result.chunkRows = Int(chunk[0])
        if let columns, Int(chunk[1]) < columns { result.chunkColumns = Int(chunk[1]) }
        result.chunks = try places(of: dataset, space: space, in: result)
        return result
    }

    private func elementType(of dataset: hid_t, name: String) throws -> ElementType {
        let stored = try handles.keep(H5Dget_type(dataset), H5Tclose)
        guard H5Tcommitted(stored) == 0 else { throw handles.refuse("the type of '\(name)'") }
        for type in ElementType.allCases {
            let known = try handles.keep(type.handle(), H5Tclose)
            if H5Tequal(stored, known) > 0 { return type }
        }
        throw handles.refuse("the element type of '\(name)'")
    }

    func shape(of space: hid_t, name: String) throws -> [Int] {
        let rank = Int(H5Sget_simple_extent_ndims(space))
        let isScalar = tensors != nil && rh5_space_is_scalar(space) != 0
        guard rh5_space_is_simple(space) != 0 || isScalar, (isScalar ? 0 : 1)...2 ~= rank else {
            throw handles.refuse("the rank of '\(name)' (\(rank))")
        }
        var shape = [hsize_t](repeating: 0, count: rank)
        try handles.check(H5Sget_simple_extent_dims(space, &shape, nil), "shape of '\(name)'")
        var product: UInt64 = 1
        for extent in shape {
            let (value, overflow) = product.multipliedReportingOverflow(by: max(1, extent))
            guard !overflow, value <= UInt64(limit) else {
                throw handles.refuse("the extent of '\(name)' (\(shape))")
            }
            product = value
        }
        return shape.map(Int.init)
    }

    func codec(of list: hid_t, elementSize: Int, name: String) throws -> ChunkCodec {
        let count = H5Pget_nfilters(list)
        guard (1...2).contains(count) else {
            throw handles.refuse("the filter pipeline of '\(name)'")
        }
        let filters = (0..<UInt32(count)).map { index in
            var (flags, parameters, configuration) = (UInt32(0), 8, UInt32(0))
            var values = [UInt32](repeating: 0, count: parameters)
            var text = [CChar](repeating: 0, count: 1)
            let id = H5Pget_filter2(
                list,
                index,
                &flags,
                &parameters,
                &values,
                1,
                &text,
                &configuration
            )
            return ChunkCodec.Filter(id: id, parameters: Array(values.prefix(parameters)))
        }
        guard let codec = ChunkCodec.named(by: filters, elementSize: elementSize) else {
            let ids = filters.map { "\($0.id)" }.joined(separator: ", ")
            throw handles.refuse("the filters of '\(name)' (\(ids))")
        }
        return codec
    }

    func header(of file: hid_t) throws -> String {
        let attribute = try handles.keep(
            H5Aopen(file, HDF5Library.headerAttribute, rh5_default()),
            H5Aclose,
            "the header"
        )
        let type = try handles.keep(H5Aget_type(attribute), H5Tclose)
        let size = H5Tget_size(type)
        let space = try handles.keep(H5Aget_space(attribute), H5Sclose)
        guard H5Tget_class(type) == H5T_STRING, H5Tis_variable_str(type) == 0, size > 0,
            size <= 65_536, H5Sget_simple_extent_npoints(space) == 1
        else { throw handles.refuse("the header's type") }
        var bytes = [UInt8](repeating: 0, count: size)
        try handles.check(H5Aread(attribute, type, &bytes), "the header")
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
