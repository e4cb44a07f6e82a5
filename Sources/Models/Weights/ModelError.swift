/// What went wrong with a model's files: which file, which tensor or key, and what to do.
///
/// The one error type of the module; the command line turns `kind` into an exit code.
public struct ModelError: Error, CustomStringConvertible, Equatable {
    /// The class of the failure.
    public enum Kind: String, Sendable {
        /// A file, tensor or key that is needed is not there.
        case missing
        /// The bytes break the format's rules: damaged, truncated or hostile.
        case corrupt
        /// The file is sound, but holds something that Retort does not read.
        case unsupported
        /// Two things that should agree do not: shapes, counts, types.
        case mismatch
        /// The operating system refused: permissions, full disk, failed read or write.
        case io
    }

    /// The class of the failure.
    public let kind: Kind
    /// The file or directory concerned.
    public let path: String
    /// What was found, naming the tensor, key or byte offset; no full stop at the end.
    public let message: String
    /// What the reader can do about it, as a sentence; empty when there is nothing to advise.
    public let remedy: String

    /// Makes an error.
    ///
    /// - Parameters:
    ///   - kind: The class of the failure.
    ///   - path: The file or directory concerned.
    ///   - message: What was found, without a full stop.
    ///   - remedy: What to do, as a sentence; may be empty.
    public init(_ kind: Kind, path: String, _ message: String, remedy: String = "") {
        self.kind = kind
        self.path = path
        self.message = message
        self.remedy = remedy
    }

    /// `path: message. remedy`.
    public var description: String {
        remedy.isEmpty ? "\(path): \(message)" : "\(path): \(message). \(remedy)"
    }
}

extension ModelError {
    /// The usual remedy for a file that is damaged or cut short.
    static let fetchAgain = "Fetch or write the file again and compare its SHA-256."
}
