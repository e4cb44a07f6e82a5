/// Insertions, deletions and replacements that turn one text into the other (Levenshtein 1966).
///
/// - Complexity: O(a.count * b.count) time, O(b.count) memory.
public func editDistance<Element: Equatable>(_ a: [Element], _ b: [Element]) -> Int {
    var previous = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var current = [i + 1]
        for (j, y) in b.enumerated() {
            current.append(min(previous[j + 1] + 1, current[j] + 1, previous[j] + (x == y ? 0 : 1)))
        }
        previous = current
    }
    return previous[b.count]
}
