import Foundation
import Testing

@testable import Tokenizers

@Suite("Unicode, every code point of the planes in use")
struct UnicodeTests {
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in
            value & 1 == 1 ? 0xEDB8_8320 ^ value >> 1 : value >> 1
        }
    }

    private func checksum(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(~0) { Self.table[Int(($0 ^ UInt32($1)) & 0xFF)] ^ $0 >> 8 }
    }

    /// The number of words that "a", the character and "b" become.
    private func words(
        _ step: PreTokenizerStep,
        _ text: [UInt8],
        _ matcher: Pattern.Matcher
    ) throws -> [UInt8] {
        var count = 0
        let preTokenizer = PreTokenizer(steps: [step], keepsBytes: false)
        try (Array("a".utf8) + text + Array("b".utf8)).withUnsafeBufferPointer {
            try preTokenizer.words($0, lead: 0, matcher) { _ in count += 1 }
        }
        return Array("\(count)".utf8)
    }

    private func answer(
        _ question: String,
        _ text: [UInt8],
        _ matcher: Pattern.Matcher
    ) throws -> [UInt8] {
        let step: NormalizerStep
        switch question {
        case "order":
            let marks = Array("a\u{345}".utf8) + text + Array("\u{334}".utf8)
            return Normalization.apply(.nfd, marks)
        case "Punctuation": return try words(.punctuation(.isolated), text, matcher)
        case "WhitespaceSplit": return try words(.whitespaceSplit, text, matcher)
        case "Whitespace": return try words(.whitespace, text, matcher)
        case "NFC": step = .nfc
        case "NFD": step = .nfd
        case "NFKC": step = .nfkc
        case "NFKD": step = .nfkd
        case "Lowercase": step = .lowercase
        case "Nmt": step = .nmt
        default:
            try #require(question == "StripAccents")
            step = .stripAccents
        }
        var normalized = text.withUnsafeBufferPointer { NormalizedText($0, startsText: true) }
        try TokenizerDefinition.Normalizer([step]).apply(&normalized, matcher)
        return normalized.bytes
    }

    @Test(
        "the reference's answer",
        arguments: [
            "order", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt", "StripAccents",
            "Punctuation", "WhitespaceSplit", "Whitespace",
        ]
    )
    func everyCodePoint(question: String) throws {
        let data = try Data(contentsOf: Fixtures.url("unicode.json"))
        let all = try JSONDecoder().decode([String: [UInt32]].self, from: data)
        let expected = try #require(all[question])
        #expect(expected.count == 272)
        let matcher = try Pattern.Matcher()
        // Planes 4 to 13 hold no characters.
        for (block, sum) in expected.enumerated() where block < 0x40 || block >= 0xE0 {
            var bytes: [UInt8] = []
            for code in block * 4_096..<(block + 1) * 4_096 {
                guard let scalar = Unicode.Scalar(UInt32(code)) else { continue }
                bytes.append(contentsOf: try answer(question, Array(String(scalar).utf8), matcher))
                bytes.append(0x0A)
            }
            #expect(checksum(bytes) == sum, "U+\(String(block * 4_096, radix: 16)) and on")
        }
    }
}
