import Foundation
// The standard library's own composition, which Foundation for Linux also builds upon. Foundation's
// public `precomposedStringWithCanonicalMapping` (6.3) is wrong: it leaves a Hangul final apart from a
// composed syllable and drops U+11A7, both of which change token ids.
@_spi(_Unicode) import Swift

/// Unicode normal forms, lower case and the like, as the reference has them.
///
/// The reference's tables of normal forms are older than Swift's; `OlderUnicode.inert` lists the
/// characters that it leaves alone. A text is divided at these, which is what leaving them alone amounts to.
enum Normalization {
    enum Form {
        case nfc
        case nfd
        case nfkc
        case nfkd

        var isCompatible: Bool { self == .nfkc || self == .nfkd }
        var composes: Bool { self == .nfc || self == .nfkc }
    }

    static func apply(_ form: Form, _ text: [UInt8]) -> [UInt8] {
        let plain =
            form == .nfc
            ? text.withUnsafeBufferPointer(isPlainlyComposed) : text.allSatisfy { $0 < 0x80 }
        guard !plain else { return text }
        var out: [UInt8] = []
        out.reserveCapacity(text.count)
        var stretch = String.UnicodeScalarView()
        func flush() {
            guard !stretch.isEmpty else { return }
            let text = String(stretch)
            let scalars = form.composes ? Array(text._nfc) : Array(text._nfd)
            for scalar in scalars { out.append(scalar) }
            stretch = String.UnicodeScalarView()
        }
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            if OlderUnicode.inert.contains(scalar) {
                flush()
                out.append(scalar)
            } else if let parts = decomposedMarks[scalar] {
                stretch.append(contentsOf: parts)
            } else if form.isCompatible, scalar.value >= 0xA0,
                scalar.properties.changesWhenNFKCCaseFolded
            {
                // One character at a time: the orders of marks are Foundation's only within it.
                let parts = String(scalar).decomposedStringWithCompatibilityMapping
                stretch.append(contentsOf: parts.unicodeScalars)
            } else {
                stretch.append(scalar)
            }
        }
        flush()
        return out
    }

    /// The four marks that stand for two marks each.
    ///
    /// They never occur in composed text, and taking
    /// them apart first lets the library order the halves, which it otherwise leaves in place.
    private static let decomposedMarks: [Unicode.Scalar: [Unicode.Scalar]] = [
        "\u{344}": ["\u{308}", "\u{301}"],
        "\u{F73}": ["\u{F71}", "\u{F72}"],
        "\u{F75}": ["\u{F71}", "\u{F74}"],
        "\u{F81}": ["\u{F71}", "\u{F80}"],
    ]

    /// True where `text` needs no work: all below U+0300, where nothing composes or is reordered.
    static func isPlainlyComposed(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        text.allSatisfy { $0 < 0xCC }
    }

    /// Each character's own lower case, whatever stands around it.
    static func lowercase(_ text: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(text.count)
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            if scalar.isASCII {
                let byte = UInt8(truncatingIfNeeded: scalar.value)
                out.append((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)
            } else {
                out.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
            }
        }
        return out
    }

    /// Any mark, whatever the step's name says.
    static func isAccent(_ scalar: Unicode.Scalar) -> Bool {
        let isMark =
            switch scalar.properties.generalCategory {
            case .nonspacingMark, .spacingMark, .enclosingMark: true
            default: false
            }
        return isMark != OlderUnicode.marks.contains(scalar)
    }

    static func isDroppedByNmt(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: true
        default: false
        }
    }

    /// Tabs, line ends, unusual and invisible spaces become spaces.
    static func nmtSpaces(_ text: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(text.count)
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            switch scalar.value {
            case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF,
                0xFFFD:
                out.append(0x20)
            default: out.append(scalar)
            }
        }
        return out
    }
}

extension [UInt8] {
    /// Appends a character's UTF-8.
    mutating func append(_ scalar: Unicode.Scalar) {
        if scalar.isASCII {
            append(UInt8(truncatingIfNeeded: scalar.value))
        } else {
            append(contentsOf: UTF8.encode(scalar) ?? UTF8.CodeUnit.replacement)
        }
    }
}

extension UTF8.CodeUnit {
    /// U+FFFD; every scalar has a UTF-8 form, so that it never is needed.
    fileprivate static var replacement: Unicode.UTF8.EncodedScalar {
        UTF8.encodedReplacementCharacter
    }
}
