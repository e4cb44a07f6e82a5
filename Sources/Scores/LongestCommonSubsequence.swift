/// The length of the longest common subsequence.
///
/// Source: H. Hyyrö, "Bit-Parallel LCS-length Computation Revisited" (2004): one bit a place of `b`, 64 places
/// a machine word.
///
/// - Complexity: O(*n* · *m* / 64) time for sequences of *n* and *m*, O(*n* + *m*) memory.
func longestCommonSubsequence<Element: Hashable>(_ a: [Element], _ b: [Element]) -> Int {
    guard !a.isEmpty, !b.isEmpty else { return 0 }
    let words = (b.count + 63) / 64
    // The places of each element of b that a has too: others match nothing.
    var places: [Element: [Int]] = Dictionary(
        a.map { ($0, []) },
        uniquingKeysWith: { first, _ in first }
    )
    for (place, element) in b.enumerated() { places[element]?.append(place) }
    // A 0 for each place where the length grows by one.
    var row = [UInt64](repeating: .max, count: words)
    var matches = [UInt64](repeating: 0, count: words)
    for element in a {
        guard let found = places[element], !found.isEmpty else { continue }
        for place in found { matches[place / 64] |= 1 << UInt64(place % 64) }
        var carry: UInt64 = 0
        for word in 0..<words {
            let both = row[word] & matches[word]
            let (first, overflow) = row[word].addingReportingOverflow(both)
            let (sum, again) = first.addingReportingOverflow(carry)
            carry = overflow || again ? 1 : 0
            row[word] = sum | (row[word] & ~matches[word])
        }
        for place in found { matches[place / 64] = 0 }
    }
    // Places beyond b stay 1: nothing matches there, and a carry into them leaves the 1 from `row & ~matches`.
    return row.reduce(0) { $0 + 64 - $1.nonzeroBitCount }
}
