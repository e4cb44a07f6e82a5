/// Pairs (student i, teacher j) of labels of one example that are the same piece of the same text.
///
/// The text of a side is that of its labels end to end, without the spaces that it begins with: `▁Hello`
/// of a tokenizer that puts a space in front of every text is `Hello` here. i and j are a pair where the
/// text before both is the same and their own is, and where both end the sequence after the same text.
/// Labels of which no text is left (special tokens, a `▁` in front of all) are in no pair. Once the texts
/// differ, nothing is.
///
/// - Parameters:
///   - student: The labels of the example, in order.
///   - teacher: The teacher's of the same example.
/// - Returns: Indices counted from the start of each slice, ascending, each at most once.
/// - Complexity: O(bytes of both texts).
func tokenAlignment(
    student: ArraySlice<UInt32>,
    teacher: ArraySlice<UInt32>,
    studentTexts: TokenTexts,
    teacherTexts: TokenTexts
) -> [(Int, Int)] {
    let (a, b) = (LabelText(student, studentTexts), LabelText(teacher, teacherTexts))
    let common = zip(a.bytes, b.bytes).prefix { $0 == $1 }.count
    var pairs: [(Int, Int)] = []
    var (i, j) = (0, 0)
    while i < a.labels.count, j < b.labels.count {
        let (x, y) = (a.labels[i], b.labels[j])
        guard x.start <= common, y.start <= common else { break }
        if x.start != y.start || x.isEnd != y.isEnd {
            // At one place an end comes before a text, since a text moves the place on.
            let isStudentBehind = x.start == y.start ? x.isEnd : x.start < y.start
            if isStudentBehind { i += 1 } else { j += 1 }
            continue
        }
        if x.length == y.length, x.start + x.length <= common { pairs.append((x.index, y.index)) }
        (i, j) = (i + 1, j + 1)
    }
    return pairs
}

/// The text of one example's labels, without the spaces at its start.
private struct LabelText {
    struct Label {
        /// Among all labels.
        var index: Int
        /// Where its text starts in that of the example.
        var start: Int
        var length: Int
        var isEnd: Bool
    }

    var bytes: [UInt8] = []
    /// Those with text, and the ends of the sequence.
    var labels: [Label] = []

    init(_ ids: ArraySlice<UInt32>, _ texts: TokenTexts) {
        for (index, id) in ids.enumerated() {
            let text = texts.text(of: id)
            let start = bytes.count
            bytes.append(contentsOf: bytes.isEmpty ? text.drop { $0 == UInt8(ascii: " ") } : text)
            let (length, isEnd) = (bytes.count - start, id == texts.endOfSequence)
            guard length > 0 || isEnd else { continue }
            labels.append(Label(index: index, start: start, length: length, isEnd: isEnd))
        }
    }
}
