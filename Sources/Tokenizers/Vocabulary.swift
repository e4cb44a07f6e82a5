/// The pieces of a tokenizer by id, and ids by piece.
///
/// Pieces lie end to end in one array. They are compared byte for byte: Swift's `String` equality
/// would make one of two pieces that differ only in Unicode composition.
struct Vocabulary: Sendable {
    /// No vocabulary in use has more than a few hundred thousand ids.
    static let idLimit = 1 << 22

    /// One past the highest id; ids below it may have no piece.
    var count: Int { offsets.count - 1 }

    private var bytes: [UInt8] = []
    private var offsets: [Int] = [0]
    private var slots: [UInt32]
    private var mask: Int

    /// - Throws: `TokenizerError.malformed` for duplicates, empty pieces, and ids that are negative,
    ///   above `idLimit`, or so sparse that most of the range would be holes.
    init(_ entries: [(piece: String, id: Int)], path: String, place: String) throws(TokenizerError)
    {
        func fail(_ reason: String) -> TokenizerError {
            .malformed(path: path, place: place, reason: reason)
        }
        guard !entries.isEmpty else { throw fail("it holds no tokens") }
        var highest = 0
        for entry in entries {
            let name = TokenizerError.shortened(entry.piece)
            guard entry.id >= 0, entry.id < Self.idLimit else {
                throw fail("token \(name) has the id \(entry.id), outside 0..<\(Self.idLimit)")
            }
            guard !entry.piece.isEmpty else { throw fail("token \(entry.id) is empty") }
            highest = max(highest, entry.id)
        }
        guard highest < entries.count * 2 + 65_536 else {
            throw fail("the highest id is \(highest) with only \(entries.count) tokens")
        }
        var entryOfID = [Int32](repeating: -1, count: highest + 1)
        for (index, entry) in entries.enumerated() {
            guard entryOfID[entry.id] < 0 else { throw fail("the id \(entry.id) stands twice") }
            entryOfID[entry.id] = Int32(index)
        }
        var size = 16
        while size < (highest + 1) * 2 { size *= 2 }
        slots = [UInt32](repeating: .max, count: size)
        mask = size - 1
        for id in 0...highest {
            if entryOfID[id] >= 0 {
                bytes.append(contentsOf: entries[Int(entryOfID[id])].piece.utf8)
            }
            offsets.append(bytes.count)
        }
        for id in 0...highest where entryOfID[id] >= 0 {
            let range = offsets[id]..<offsets[id + 1]
            let slot = bytes.withUnsafeBufferPointer { find(.init(rebasing: $0[range])) }
            guard slots[slot] == .max else {
                throw fail("token \(TokenizerError.shortened(piece(id))) stands twice")
            }
            slots[slot] = UInt32(id)
        }
    }

    /// The slot of `piece`, or the free slot where it would go.
    private func find(_ piece: UnsafeBufferPointer<UInt8>) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: UnsafeRawBufferPointer(piece))
        var slot = hasher.finalize() & mask
        while slots[slot] != .max {
            let id = Int(slots[slot])
            let same = bytes[offsets[id]..<offsets[id + 1]].elementsEqual(piece)
            if same { return slot }
            slot = (slot + 1) & mask
        }
        return slot
    }

    func id(of piece: UnsafeBufferPointer<UInt8>) -> UInt32? {
        let id = slots[find(piece)]
        return id == .max ? nil : id
    }

    func id(of piece: String) -> UInt32? {
        var piece = piece
        return piece.withUTF8 { id(of: $0) }
    }

    /// The piece of an id; empty for a hole and for ids outside the vocabulary.
    func piece(_ id: Int) -> String {
        guard id >= 0, id < count else { return "" }
        return String(decoding: bytes[offsets[id]..<offsets[id + 1]], as: UTF8.self)
    }

    func isHole(_ id: Int) -> Bool { offsets[id] == offsets[id + 1] }

    /// The UTF-8 of an id's piece.
    ///
    /// - Precondition: `id` is in `0..<count`.
    func utf8(_ id: Int) -> ArraySlice<UInt8> { bytes[offsets[id]..<offsets[id + 1]] }
}
