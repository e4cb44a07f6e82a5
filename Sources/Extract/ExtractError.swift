/// Why an extraction cannot go on: what is wrong, where, and what to do.
public struct ExtractError: Error, CustomStringConvertible, Sendable {
    /// The kinds that callers tell apart, for exit codes.
    public enum Kind: Sendable {
        /// A file is not there.
        case missing
        /// A file holds what it should not.
        case badData
        /// A setting is out of range.
        case badSetting
        /// The output is something else already.
        case outputExists
        /// Stopped on request; running again continues.
        case stopped
    }

    /// See `Kind`.
    public let kind: Kind
    /// The file or setting.
    public let place: String
    /// What is wrong there.
    public let message: String
    /// What to do about it.
    public let remedy: String

    init(_ kind: Kind, _ place: String, _ message: String, remedy: String) {
        self.kind = kind
        self.place = place
        self.message = message
        self.remedy = remedy
    }

    /// What is wrong, where, and what to do.
    public var description: String { "\(place): \(message). \(remedy)" }
}
