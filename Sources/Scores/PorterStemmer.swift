/// The stems of English words, as NLTK's `PorterStemmer` finds them, which `rouge_score` uses.
///
/// Source: M. F. Porter, "An algorithm for suffix stripping" (1980), with NLTK's changes: a table of words
/// with stems of their own, `ies` and `ied` of four letters, `y` after a vowel, `alli` before the other rules of step 2,
/// and `bli`, `fulli` and `logi` there.
enum PorterStemmer {
    private static let ownStems: [String: String] = [
        "sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie",
        "news": "news", "innings": "inning", "inning": "inning", "outings": "outing",
        "outing": "outing", "cannings": "canning", "canning": "canning", "howe": "howe",
        "proceed": "proceed", "exceed": "exceed", "succeed": "succeed",
    ]

    /// The stem of a word of a-z and 0-9; digits count as consonants.
    static func stem(_ word: String) -> String {
        if let own = ownStems[word] { return own }
        var letters = Letters(word)
        guard letters.count > 2 else { return word }
        removePlural(&letters)
        removePastAndGerund(&letters)
        if letters.ends(with: "y") {
            let stem = letters.dropLast(1)
            if stem.count > 1 && stem.isConsonant(stem.count - 1) {
                letters.replace(1, with: "i")
            }
        }
        shortenDerived(&letters)
        letters.applyFirst(of: step3) { $0.measure > 0 }
        removeLong(&letters)
        removeFinalE(&letters)
        if letters.ends(with: "ll") && letters.dropLast(1).measure > 1 {
            letters.replace(1, with: "")
        }
        return letters.text
    }

    /// Step 1a.
    private static func removePlural(_ word: inout Letters) {
        if word.ends(with: "ies") {
            word.replace(word.count == 4 ? 1 : 2, with: "")
        } else if word.ends(with: "sses") {
            word.replace(2, with: "")
        } else if word.ends(with: "s") && !word.ends(with: "ss") {
            word.replace(1, with: "")
        }
    }

    /// Step 1b.
    private static func removePastAndGerund(_ word: inout Letters) {
        if word.ends(with: "ied") {
            word.replace(word.count == 4 ? 1 : 2, with: "")
            return
        }
        if word.ends(with: "eed") {
            if word.dropLast(3).measure > 0 { word.replace(1, with: "") }
            return
        }
        guard
            let suffix = ["ed", "ing"].first(where: {
                word.ends(with: $0) && word.dropLast($0.utf8.count).hasVowel
            })
        else { return }
        word.replace(suffix.utf8.count, with: "")
        if ["at", "bl", "iz"].contains(where: word.ends) {
            word.replace(0, with: "e")
        } else if word.endsInDoubleConsonant {
            if !["l", "s", "z"].contains(where: word.ends) { word.replace(1, with: "") }
        } else if word.measure == 1 && word.endsInConsonantVowelConsonant {
            word.replace(0, with: "e")
        }
    }

    /// Step 2.
    private static func shortenDerived(_ word: inout Letters) {
        while word.ends(with: "alli") && word.dropLast(4).measure > 0 {
            word.replace(2, with: "")
        }
        word.applyFirst(of: step2) { $0.measure > 0 }
    }

    private static let step2: [Letters.Rule] = [
        .init("ational", "ate"), .init("tional", "tion"), .init("enci", "ence"),
        .init("anci", "ance"), .init("izer", "ize"), .init("bli", "ble"), .init("alli", "al"),
        .init("entli", "ent"), .init("eli", "e"), .init("ousli", "ous"), .init("ization", "ize"),
        .init("ation", "ate"), .init("ator", "ate"), .init("alism", "al"), .init("iveness", "ive"),
        .init("fulness", "ful"), .init("ousness", "ous"), .init("aliti", "al"),
        .init("iviti", "ive"), .init("biliti", "ble"), .init("fulli", "ful"),
        // The l goes with the stem, so that "geo" and "theo" do as "archaeo" does.
        .init("logi", "log", kept: 1),
    ]

    private static let step3: [Letters.Rule] = [
        .init("icate", "ic"), .init("ative", ""), .init("alize", "al"), .init("iciti", "ic"),
        .init("ical", "ic"), .init("ful", ""), .init("ness", ""),
    ]

    private static let step4: [Letters.Rule] = [
        "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion",
        "ou", "ism", "ate", "iti", "ous", "ive", "ize",
    ].map { .init($0, "") }

    /// Step 4.
    private static func removeLong(_ word: inout Letters) {
        let isIon = word.ends(with: "ion")
        word.applyFirst(of: step4) { stem in
            stem.measure > 1 && (!isIon || stem.ends(with: "s") || stem.ends(with: "t"))
        }
    }

    /// Step 5a.
    private static func removeFinalE(_ word: inout Letters) {
        guard word.ends(with: "e") else { return }
        let stem = word.dropLast(1)
        let measure = stem.measure
        if measure > 1 || measure == 1 && !stem.endsInConsonantVowelConsonant {
            word.replace(1, with: "")
        }
    }
}

/// The letters of a word, with what Porter's conditions ask of them.
private struct Letters {
    /// A suffix, what takes its place, and how many of its letters count as the stem's.
    struct Rule {
        let suffix: String, replacement: String
        let kept: Int

        init(_ suffix: String, _ replacement: String, kept: Int = 0) {
            (self.suffix, self.replacement, self.kept) = (suffix, replacement, kept)
        }
    }

    private var bytes: [UInt8]

    init(_ word: String) { bytes = Array(word.utf8) }
    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    var count: Int { bytes.count }
    var text: String { String(decoding: bytes, as: UTF8.self) }

    func dropLast(_ count: Int) -> Letters { Letters(Array(bytes.dropLast(count))) }

    func ends(with suffix: String) -> Bool {
        let suffix = suffix.utf8
        return suffix.count <= bytes.count && bytes.suffix(suffix.count).elementsEqual(suffix)
    }

    /// Puts `text` where the last `count` letters were.
    mutating func replace(_ count: Int, with text: String) {
        bytes.removeLast(count)
        bytes += Array(text.utf8)
    }

    /// Applies the first rule whose suffix the word has, where its stem does what is asked; no rule after it.
    mutating func applyFirst(of rules: [Rule], where condition: (Letters) -> Bool) {
        guard let rule = rules.first(where: { ends(with: $0.suffix) }) else { return }
        let length = rule.suffix.utf8.count
        guard condition(dropLast(length - rule.kept)) else { return }
        replace(length, with: rule.replacement)
    }

    /// A vowel is a, e, i, o, u, or a y after a consonant.
    private var consonants: [Bool] {
        var result: [Bool] = []
        result.reserveCapacity(bytes.count)
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "a"), UInt8(ascii: "e"), UInt8(ascii: "i"), UInt8(ascii: "o"),
                UInt8(ascii: "u"):
                result.append(false)
            case UInt8(ascii: "y"): result.append(!(result.last ?? false))
            default: result.append(true)
            }
        }
        return result
    }

    func isConsonant(_ index: Int) -> Bool { consonants[index] }

    var hasVowel: Bool { consonants.contains(false) }

    /// How often a run of vowels is followed by one of consonants: Porter's m.
    var measure: Int {
        let consonants = consonants
        return zip(consonants, consonants.dropFirst()).count { !$0 && $1 }
    }

    /// Porter's *d.
    var endsInDoubleConsonant: Bool {
        count >= 2 && bytes[count - 1] == bytes[count - 2] && isConsonant(count - 1)
    }

    /// Porter's *o, or a vowel and a consonant that are the whole stem.
    var endsInConsonantVowelConsonant: Bool {
        let all = consonants
        if count == 2 { return !all[0] && all[1] }
        guard count >= 3, all[count - 3], !all[count - 2], all[count - 1] else { return false }
        return !["w", "x", "y"].contains(where: ends)
    }
}
