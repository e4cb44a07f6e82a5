import Foundation

/// Words as a shell takes them, for commands that people paste.
enum ShellWord {
    /// The text in quotes, unless it is plain.
    static func quoted(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "/._-=:,+@%".utf8.contains(byte)
            }
        }
        guard !isPlain || text.isEmpty else { return text }
        return "'" + text.replacingOccurrences(of: "'", with: #"'\''"#) + "'"
    }
}
