/// What can go wrong in reading, using, training or writing a tokenizer.
public enum TokenizerError: Error, Equatable, CustomStringConvertible {
    /// A file could not be read.
    case unreadable(path: String, reason: String)
    /// A file was read, and what it says cannot be right; `place` names the key.
    case malformed(path: String, place: String, reason: String)
    /// A file asks for something that is not implemented; guessing would give other token ids.
    case unsupported(path: String, what: String, known: [String])
    /// A name given by a person is not one of the known ones.
    case unknownName(kind: String, name: String, known: [String], nearest: String?)
    /// A regular expression was refused, by us or by PCRE2.
    case badPattern(pattern: String, reason: String)
    /// Matching a regular expression took more steps or memory than is allowed.
    case matchLimit(pattern: String, reason: String)
    /// Training cannot be done with these arguments.
    case training(reason: String)
    /// A model's own prompt template was asked for, and there is none that can be told for sure.
    case noTemplate(path: String, reason: String, near: String?)
    /// A prompt template needs a token that the vocabulary lacks; `fitting` names those that fit.
    case templateMisfit(name: String, needs: String, fitting: [String])
    /// A file could not be written.
    case unwritable(path: String, reason: String)

    /// The file, the place, what is wrong and what to do.
    public var description: String {
        switch self {
        case .unreadable(let path, let reason):
            return "\(path): cannot be read: \(reason)"
        case .malformed(let path, let place, let reason):
            return "\(path): \(place): \(reason). The file is damaged or not a tokenizer; "
                + "fetch it again"
        case .unsupported(let path, let what, let known):
            let list = known.isEmpty ? "" : ". Known: \(known.joined(separator: ", "))"
            return "\(path): \(what) is not supported\(list)"
        case .unknownName(let kind, let name, let known, let nearest):
            let hint = nearest.map { " Did you mean '\($0)'?" } ?? ""
            return "there is no \(kind) '\(name)'.\(hint) Known: \(known.joined(separator: ", "))"
        case .badPattern(let pattern, let reason):
            return "the pattern \(Self.shortened(pattern)) is refused: \(reason)"
        case .matchLimit(let pattern, let reason):
            return "the pattern \(Self.shortened(pattern)) gave up on this text: \(reason). "
                + "Split the text, or use a tokenizer with a simpler pattern"
        case .training(let reason):
            return "the tokenizer cannot be trained: \(reason)"
        case .noTemplate(let path, let reason, let near):
            let names = PromptTemplate.names.joined(separator: ", ")
            guard let near else {
                return
                    "\(path): \(reason), so the prompt template must be given: set template to one of "
                    + names
            }
            return
                "\(path): \(reason); it looks like \(near), perhaps with a system message of its own. "
                + "Set template: \(near), or another of \(names)"
        case .templateMisfit(let name, let needs, let fitting):
            let others = fitting.filter { $0 != "plain" && $0 != "alpaca" }
            return "the template '\(name)' needs the \(needs), which the tokenizer lacks. "
                + "Set template: plain or alpaca, or one of: \(others.joined(separator: ", "))"
        case .unwritable(let path, let reason):
            return "\(path): cannot be written: \(reason)"
        }
    }

    /// A stranger's text, cut to a length fit for one line.
    static func shortened(_ text: String) -> String {
        text.count <= 120 ? "'\(text)'" : "'\(text.prefix(120))…'"
    }
}
