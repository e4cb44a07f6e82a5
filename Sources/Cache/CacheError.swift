import Foundation

/// What went wrong with a cache, where, and what to do about it.
public struct CacheError: Error, CustomStringConvertible, Sendable {
    /// The sort of failure; it decides the exit code of a command.
    public enum Kind: String, Sendable {
        /// A file or directory is not there.
        case missing
        /// Bytes are damaged, cut short or not what the format allows.
        case corrupt
        /// Two things that must agree do not.
        case mismatch
        /// The disk, the quota or the file size limit is used up.
        case diskFull
        /// Any other failure of the operating system.
        case io
        /// Well formed, but not something that this version handles.
        case unsupported
    }

    /// The sort of failure.
    public let kind: Kind
    /// The file or directory concerned.
    public let path: String
    /// What was found, and what was expected.
    public let message: String
    /// What the reader of the message can do.
    public let remedy: String

    /// An error of `kind` at `path`.
    public init(_ kind: Kind, path: String, _ message: String, remedy: String) {
        self.kind = kind
        self.path = path
        self.message = message
        self.remedy = remedy
    }

    /// One line: path, message, remedy.
    public var description: String { "\(path): \(message). \(remedy)" }

    /// Damage in a file, with the remedy that always applies.
    static func corrupt(_ path: String, _ message: String) -> CacheError {
        CacheError(
            .corrupt,
            path: path,
            message,
            remedy: "Fetch the file again, or see `retort cache repair --help`."
        )
    }

    /// A failed system call.
    ///
    /// `needed` is the number of bytes about to be written, if any.
    static func system(_ path: String, _ call: String, code: Int32, needed: Int = 0) -> CacheError {
        let reason = String(cString: strerror(code))
        switch code {
        case ENOSPC, EDQUOT, EFBIG:
            return CacheError(
                .diskFull,
                path: path,
                "\(call): \(reason); \(needed) bytes are needed",
                remedy: "Free some space (or raise the quota or file size limit) and run the same "
                    + "command again; what is finished is kept."
            )
        case ELOOP:
            return CacheError(
                .unsupported,
                path: path,
                "a symbolic link, which is not followed in a cache",
                remedy: "Put the file itself here (huggingface-cli download has --local-dir)."
            )
        case ENOENT:
            return CacheError(
                .missing,
                path: path,
                "\(call): \(reason)",
                remedy: "Check the path."
            )
        default:
            return CacheError(
                .io,
                path: path,
                "\(call): \(reason)",
                remedy: "Check the disk and the permissions, then run the same command again."
            )
        }
    }
}
