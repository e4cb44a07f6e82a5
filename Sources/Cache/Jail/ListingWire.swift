import Foundation

/// A listing as bytes between the process that reads structure and the one that asked.
///
/// The reader may have been taken over by the file that it reads. So whatever comes back is checked as
/// the walk over a stranger's file checks it: nothing in it makes the parent read outside the file or a
/// buffer, or take more memory than the bytes have.
enum ListingWire {
    private static let magic: UInt32 = 0x3148_4C52
    /// What the first byte after the magic says.
    private enum Outcome: UInt8 {
        case listing, corrupt, foreign, unsupported
    }
    private static let longestMessage = 400

    // MARK: The reader's side

    /// The bytes of what `body` lists, or of its error.
    static func encoded(_ body: () throws -> FileListing) -> [UInt8] {
        encoded(body) { listing, out in
            out.put(text: listing.header)
            out.put(UInt32(listing.arrays.count))
            for array in listing.arrays.values {
                out.put(text: array.name)
                out.put(UInt8(ElementType.allCases.firstIndex(of: array.type) ?? 255))
                out.put(array.codec)
                for number in [array.rows, array.columns, array.chunkRows, array.chunkColumns] {
                    out.put(Int64(number ?? -1))
                }
                out.put(array.chunks)
            }
        }
    }

    /// The bytes of what `body` finds, put there by `put`, or of its error.
    static func encoded<T>(_ body: () throws -> T, put: (T, inout WireSink) -> Void) -> [UInt8] {
        var out = WireSink()
        out.put(magic)
        do {
            let found = try body()
            out.put(Outcome.listing.rawValue)
            put(found, &out)
        } catch {
            let error = error as? CacheError
            let outcome: Outcome =
                switch error {
                case .some(let error) where error.kind == .unsupported: .unsupported
                case .some(let error) where error.remedy == CacheError.foreignRemedy: .foreign
                default: .corrupt
                }
            out.put(outcome.rawValue)
            out.put(text: String((error?.message ?? "\(error as Any)").prefix(longestMessage)))
        }
        return out.bytes
    }

    // MARK: The parent's side

    /// The listing in `bytes`, or the error that they tell.
    ///
    /// - Parameters:
    ///   - fileBytes: Size of the file, as the parent found it.
    ///   - limit: The most elements that any array may have.
    /// - Throws: `CacheError.corrupt` naming `path`.
    static func decode(
        _ bytes: [UInt8],
        path: String,
        fileBytes: Int,
        limit: Int
    ) throws -> FileListing {
        var source = try found(bytes, path: path)
        guard let header = source.text(most: 65_536 * 3), let count = source.take(UInt32.self),
            count <= 128
        else { throw nonsense(path, "header or number of arrays") }
        var arrays: [String: ArrayLayout] = [:]
        for _ in 0..<count {
            guard let array = array(&source, fileBytes: fileBytes, limit: limit) else {
                throw nonsense(path, "array \(arrays.count)")
            }
            guard arrays.updateValue(array, forKey: array.name) == nil else {
                throw nonsense(path, "'\(array.name)' twice")
            }
        }
        guard source.bytes.isEmpty else { throw nonsense(path, "more than the arrays") }
        return FileListing(header: header, arrays: arrays)
    }

    /// What was found, behind the words that say so.
    ///
    /// - Throws: The error that the bytes tell; `CacheError.foreign` where they tell nothing.
    static func found(_ bytes: [UInt8], path: String) throws -> WireSource {
        var source = WireSource(bytes: bytes[...])
        guard source.take() == magic, let outcome = source.take().flatMap(Outcome.init) else {
            throw nonsense(path, "no answer")
        }
        guard outcome == .listing else {
            guard let text = source.text(most: 4 * longestMessage), source.bytes.isEmpty else {
                throw nonsense(path, "no error")
            }
            throw error(outcome, text, path: path)
        }
        return source
    }

    /// One array, by the rules of `HDF5Walk`; nil where it breaks one.
    private static func array(_ source: inout WireSource, fileBytes: Int, limit: Int)
        -> ArrayLayout?
    {
        guard let name = source.text(most: 3 * 65), isPlain(name),
            let typeNumber = source.take(UInt8.self), typeNumber < ElementType.allCases.count,
            let codec = source.codec(),
            let rows = source.take(Int64.self), let columns = source.take(Int64.self),
            let chunkRows = source.take(Int64.self), let chunkColumns = source.take(Int64.self),
            let count = source.take(UInt32.self)
        else { return nil }
        var array = ArrayLayout(
            name: name,
            type: ElementType.allCases[Int(typeNumber)],
            codec: codec,
            rows: Int(rows),
            columns: columns < 0 ? nil : Int(columns),
            chunkRows: Int(chunkRows),
            chunkColumns: chunkColumns < 0 ? nil : Int(chunkColumns),
            chunks: []
        )
        // Elements before anything is multiplied; -1 is the one number for "not there".
        let (elements, overflow) = max(1, rows).multipliedReportingOverflow(by: max(1, columns))
        guard rows >= 0, columns >= -1, chunkColumns >= -1, !overflow,
            elements <= Int64(min(limit, 1 << 56))
        else { return nil }
        if rows == 0 || columns == 0 {
            return chunkRows == 1 && chunkColumns < 0 && count == 0 ? array : nil
        }
        let isCut = chunkRows == 1 && chunkColumns > 0 && chunkColumns < columns
        guard chunkRows > 0, chunkRows <= rows, chunkColumns < 0 || isCut,
            array.chunkRows <= ChunkCodec.largestChunk / array.rowBytes
        else { return nil }
        let down = (array.rows - 1) / array.chunkRows + 1
        let (expected, tooMany) = down.multipliedReportingOverflow(by: array.chunksAcross)
        guard !tooMany, expected <= ChunkPlace.mostOfAnArray, Int(count) == expected else {
            return nil
        }
        let raw = array.chunkBytes
        guard let chunks = source.chunks(expected, fileBytes: fileBytes),
            chunks.allSatisfy({ $0.size <= raw && (!$0.isRaw || $0.size == raw) })
        else { return nil }
        array.chunks = chunks
        return array
    }

    /// At most three names of at most 64 small letters, digits and underscores.
    private static func isPlain(_ path: String) -> Bool {
        let names = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return names.count <= 3
            && names.allSatisfy { name in
                (1...64).contains(name.count)
                    && name.allSatisfy {
                        (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F
                    }
            }
    }

    private static func error(_ outcome: Outcome, _ text: String, path: String) -> CacheError {
        // It goes to a terminal: nothing but printable ASCII, on one line.
        let shown = String(
            text.unicodeScalars.prefix(longestMessage).map {
                (0x20...0x7E).contains($0.value) ? Character($0) : "?"
            }
        )
        switch outcome {
        case .foreign: return .foreign(path, shown)
        case .unsupported: return .noLibrary(path, shown)
        case .corrupt, .listing: return .corrupt(path, shown)
        }
    }

    static func nonsense(_ path: String, _ what: String) -> CacheError {
        .foreign(path, "this file's structure gives no listing (\(what))")
    }
}

extension CacheError {
    static let foreignRemedy = "The file was not made by retort; do not use it."

    /// A file that is not, or not only, damaged: it has what no file of ours has.
    static func foreign(_ path: String, _ message: String) -> CacheError {
        CacheError(.corrupt, path: path, message, remedy: foreignRemedy)
    }

    /// A machine without the library that the format needs.
    static func noLibrary(_ path: String, _ message: String) -> CacheError {
        CacheError(.unsupported, path: path, message, remedy: "Install libhdf5 1.10 or later.")
    }
}
