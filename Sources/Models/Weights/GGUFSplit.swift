import Foundation

/// One part's place in a model that llama.cpp's `gguf-split` cut up.
///
/// The parts are NAME-00001-of-00003.gguf and so on; the first holds the metadata. Others are only
/// looked for in the same directory under the very same name.
struct GGUFSplit {
    /// How many parts there are: `split.count`.
    let count: Int
    /// Which part this is, from 0: `split.no`.
    let number: Int
    private let directory: URL
    private let prefix: String

    /// What a head says of its being a part; nil for a whole model.
    ///
    /// - Throws: `ModelError` `corrupt` when its numbers make no sense, `mismatch` when its name does not
    ///   go with them.
    init?(_ head: GGUFHead) throws {
        guard head.metadata["split.count"] != nil else { return nil }
        let count = try Self.number("split.count", head)
        guard count > 1 else { return nil }
        let number = try Self.number("split.no", head)
        guard count <= Self.countLimit, (0..<count).contains(number) else {
            throw ModelError(
                .corrupt,
                path: head.path,
                "part \(number) (from 0) of \(count)",
                remedy: ModelError.fetchAgain
            )
        }
        let url = URL(fileURLWithPath: head.path)
        let suffix = Self.suffix(number, of: count)
        guard url.lastPathComponent.hasSuffix(suffix) else {
            throw ModelError(
                .mismatch,
                path: head.path,
                "this is part \(number + 1) of a model in \(count) parts, but its name does not end in "
                    + "\"\(suffix)\", so the others cannot be found",
                remedy: "Give the parts back the names that they had."
            )
        }
        self.count = count
        self.number = number
        directory = url.deletingLastPathComponent()
        prefix = String(url.lastPathComponent.dropLast(suffix.count))
    }

    /// What five digits can count.
    private static let countLimit = 99_999

    private static func suffix(_ number: Int, of count: Int) -> String {
        func digits(_ number: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, 5 - text.count)) + text
        }
        return "-\(digits(number + 1))-of-\(digits(count)).gguf"
    }

    private static func number(_ key: String, _ head: GGUFHead) throws -> Int {
        guard case .int(let number) = head.metadata[key] else {
            throw ModelError(
                .corrupt,
                path: head.path,
                "metadata key \"\(key)\": expected an integer, found "
                    + (head.metadata[key]?.kind ?? "none"),
                remedy: ModelError.fetchAgain
            )
        }
        return Int(number)
    }

    /// Opens another part.
    ///
    /// - Throws: `ModelError`: `missing` with its name, or what is wrong with it.
    func openPart(_ part: Int) throws -> GGUFHead {
        let path = directory.appendingPathComponent(prefix + Self.suffix(part, of: count)).path
        guard FileManager.default.fileExists(atPath: path) else {
            throw ModelError(
                .missing,
                path: path,
                "part \(part + 1) of \(count) is not there",
                remedy: "Fetch all parts into one directory."
            )
        }
        let head = try GGUFHead(path: path)
        let (no, parts) = (
            try Self.number("split.no", head), try Self.number("split.count", head)
        )
        guard no == part, parts == count else {
            throw ModelError(
                .mismatch,
                path: path,
                "says that it is part \(no) (from 0) of \(parts), expected \(part) of \(count)",
                remedy: "Fetch all parts of one revision."
            )
        }
        return head
    }

    /// Checks that the parts hold as many tensors as `split.tensors.count` says.
    ///
    /// - Throws: `ModelError` `mismatch`.
    func check(_ heads: [GGUFHead]) throws {
        guard let first = heads.first else { return }
        let stated = try Self.number("split.tensors.count", first)
        let found = heads.reduce(0) { $0 + $1.tensors.count }
        guard found == stated else {
            throw ModelError(
                .mismatch,
                path: first.path,
                "the \(count) parts hold \(found) tensors, expected \(stated)",
                remedy: "Fetch all parts of one revision."
            )
        }
    }

    /// The GGUF models among the files of a directory: a name for each, the first part's of a split one.
    ///
    /// Parts count as one model when they share prefix and count; a first part that is missing is
    /// still the one named, so that opening it says so.
    static func models(among fileNames: [String]) -> [String] {
        let names = fileNames.filter { $0.hasSuffix(".gguf") }.map { name in
            let parts = name.dropLast(".gguf".count).split(
                separator: "-",
                omittingEmptySubsequences: false
            )
            guard parts.count > 3, parts[parts.count - 2] == "of",
                [parts[parts.count - 1], parts[parts.count - 3]].allSatisfy({
                    $0.count == 5 && $0.allSatisfy { $0.isASCII && $0.isNumber }
                }),
                let count = Int(parts[parts.count - 1]), count > 0
            else { return name }
            return parts.dropLast(3).joined(separator: "-") + suffix(0, of: count)
        }
        return Set(names).sorted()
    }
}
