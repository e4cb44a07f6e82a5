/// A listing of a file of any program as bytes between the process that reads structure and the one that
/// asked, which trusts none of them.
enum TensorWire {
    private static let fixedText: UInt8 = 64
    private static let texts: UInt8 = 65

    /// The bytes of what `body` lists, or of its error.
    static func encoded(_ body: () throws -> TensorListing) -> [UInt8] {
        ListingWire.encoded(body) { listing, out in
            out.put(UInt32(listing.count))
            for array in listing.values {
                out.put(text: array.name)
                switch array.element {
                case .number(let number): out.put(number.rawValue)
                case .text: out.put(fixedText)
                case .texts: out.put(texts)
                }
                out.put(UInt32(array.elementSize))
                out.put(UInt8(array.shape.count))
                for extent in array.shape { out.put(Int64(extent)) }
                put(array.storage, &out)
            }
        }
    }

    private static func put(_ storage: TensorLayout.Storage, _ out: inout WireSink) {
        switch storage {
        case .contiguous(let offset):
            out.put(UInt8(0))
            out.put(Int64(offset))
        case .held(let values):
            out.put(UInt8(1))
            out.put(bytes: values)
        case .chunked(let codec, let rows, let columns, let places):
            out.put(UInt8(codec == nil ? 2 : 3))
            if let codec { out.put(codec) }
            out.put(Int64(rows))
            out.put(Int64(columns))
            out.put(places)
        }
    }

    /// The listing in `bytes`, or the error that they tell.
    ///
    /// - Parameter fileBytes: Size of the file, as the parent found it.
    /// - Throws: `CacheError.corrupt` naming `path`.
    static func decode(_ bytes: [UInt8], path: String, fileBytes: Int) throws -> TensorListing {
        var source = try ListingWire.found(bytes, path: path)
        guard let count = source.take(UInt32.self), count <= 128 else {
            throw ListingWire.nonsense(path, "number of arrays")
        }
        var listing: TensorListing = [:]
        for _ in 0..<count {
            guard let array = array(&source, fileBytes: fileBytes) else {
                throw ListingWire.nonsense(path, "array \(listing.count)")
            }
            guard listing.updateValue(array, forKey: array.name) == nil else {
                throw ListingWire.nonsense(path, "an array twice")
            }
        }
        guard source.bytes.isEmpty else { throw ListingWire.nonsense(path, "more than arrays") }
        return listing
    }

    /// One array; whether it can be read is for `TensorLayout.fault` to say.
    private static func array(_ source: inout WireSource, fileBytes: Int) -> TensorLayout? {
        guard let name = source.text(most: TensorLayout.mostParts * 65),
            let kind = source.take(UInt8.self),
            let size = source.take(UInt32.self), let rank = source.take(UInt8.self), rank <= 2
        else { return nil }
        let element: TensorLayout.Element
        switch kind {
        case fixedText:
            guard size > 0, size <= TensorLayout.longestText else { return nil }
            element = .text(bytes: Int(size))
        case texts: element = .texts
        default:
            guard let number = TensorNumber(rawValue: kind) else { return nil }
            element = .number(number)
        }
        var shape: [Int] = []
        for _ in 0..<rank {
            guard let extent = source.take(Int64.self) else { return nil }
            shape.append(Int(extent))
        }
        guard let storage = storage(&source, fileBytes: fileBytes) else { return nil }
        return TensorLayout(name: name, element: element, shape: shape, storage: storage)
    }

    private static func storage(
        _ source: inout WireSource,
        fileBytes: Int
    ) -> TensorLayout.Storage? {
        switch source.take(UInt8.self) {
        case 0: return source.take(Int64.self).map { .contiguous(offset: Int($0)) }
        case 1: return source.block(most: TensorLayout.mostHeldBytes).map { .held(Array($0)) }
        case let kind? where kind == 2 || kind == 3:
            let codec = kind == 2 ? nil : source.codec()
            guard kind == 2 || codec != nil, let rows = source.take(Int64.self),
                let columns = source.take(Int64.self), let count = source.take(UInt32.self),
                count <= ChunkPlace.mostOfAnArray,
                let places = source.chunks(Int(count), fileBytes: fileBytes)
            else { return nil }
            return .chunked(codec, rows: Int(rows), columns: Int(columns), places)
        default: return nil
        }
    }
}
