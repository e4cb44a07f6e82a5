import CKernels

/// A path of least cost through a table from its first to its last cell (dynamic time warping, Sakoe and
/// Chiba 1978): for each row, the columns that the path visits in it, ascending.
///
/// A step goes one row on, one column on, or both. Of equal paths the one that, followed back from
/// the last cell, goes back in both rather than in the row, and in the row rather than in the column.
///
/// - Parameter costs: (rows, columns), row by row.
/// - Precondition: There are both rows and columns.
func dynamicTimeWarping(costs: [UInt32], rows: Int, columns: Int) -> [[Int]] {
    precondition(rows > 0 && columns > 0 && costs.count == rows * columns)
    enum Move: UInt8 { case both, row, column }
    var moves = [Move](repeating: .column, count: costs.count)
    // Of the row before, shifted by one: sums[j + 1] is that of column j. None is less than these.
    let none = UInt64(UInt32.max) << 31
    var sums = [UInt64](repeating: none, count: columns + 1)
    sums[0] = 0
    for i in 0..<rows {
        var corner = sums[0]
        sums[0] = none
        for j in 0..<columns {
            let (both, row, column) = (corner, sums[j + 1], sums[j])
            let least = min(both, row, column)
            moves[i * columns + j] = both == least ? .both : row == least ? .row : .column
            corner = row
            sums[j + 1] = least + UInt64(costs[i * columns + j])
        }
    }
    var visited = [[Int]](repeating: [], count: rows)
    var (i, j) = (rows - 1, columns - 1)
    while i >= 0, j >= 0 {
        visited[i].append(j)
        let move = moves[i * columns + j]
        if move != .column { i -= 1 }
        if move != .row { j -= 1 }
    }
    return visited.map { $0.reversed() }
}

/// For each student row of one example the teacher row whose distribution is its target; nil where the
/// target is the label.
///
/// The input tokens of both sides are warped onto each other, at the cost of the edit distance of their
/// texts without spaces. A row takes a teacher's where its path visits that one alone and the
/// teacher's input token is mapped to the student's.
///
/// - Parameters:
///   - studentInputs: The input tokens of the supervised rows, in order.
///   - teacherInputs: The teacher's of the same example.
///   - map: For each teacher token the student's (`nearestTokens(student:teacher:)`).
func minEditMatches(
    studentInputs: ArraySlice<UInt32>,
    teacherInputs: ArraySlice<UInt32>,
    studentTexts: TokenTexts,
    teacherTexts: TokenTexts,
    map: [UInt32]
) -> [Int?] {
    guard !studentInputs.isEmpty, !teacherInputs.isEmpty else {
        return studentInputs.map { _ in nil }
    }
    let student = SpacelessTexts(studentInputs, studentTexts)
    let teacher = SpacelessTexts(teacherInputs, teacherTexts)
    let columns = teacherInputs.count
    var scratch = EditScratch(longest: max(student.longest, teacher.longest))
    var costs = [UInt32](repeating: 0, count: studentInputs.count * columns)
    costs.withUnsafeMutableBufferPointer { costs in
        student.bytes.withUnsafeBufferPointer { bytes in
            for i in 0..<studentInputs.count {
                let text = UnsafeBufferPointer(rebasing: bytes[student.range(i)])
                ck_edit_distances(
                    text.baseAddress,
                    text.count,
                    teacher.bytes,
                    teacher.offsets,
                    columns,
                    &scratch.masks,
                    &scratch.row,
                    costs.baseAddress.map { $0 + i * columns }
                )
            }
        }
    }
    let path = dynamicTimeWarping(costs: costs, rows: studentInputs.count, columns: columns)
    return zip(studentInputs, path).map { input, visited in
        guard visited.count == 1, let j = visited.first else { return nil }
        let teacherInput = Int(teacherInputs[teacherInputs.startIndex + j])
        return teacherInput < map.count && map[teacherInput] == input ? j : nil
    }
}

/// The texts of some tokens without their spaces, end to end.
private struct SpacelessTexts {
    var bytes: [UInt8] = []
    var offsets: [UInt32] = [0]
    var longest = 0

    init(_ ids: ArraySlice<UInt32>, _ texts: TokenTexts) {
        for id in ids {
            let start = bytes.count
            bytes.append(contentsOf: texts.text(of: id).lazy.filter { $0 != UInt8(ascii: " ") })
            longest = max(longest, bytes.count - start)
            offsets.append(UInt32(bytes.count))
        }
    }

    func range(_ i: Int) -> Range<Int> { Int(offsets[i])..<Int(offsets[i + 1]) }
}
