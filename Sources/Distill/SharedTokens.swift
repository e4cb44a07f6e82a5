/// The tokens that two vocabularies share: those of equal text, and the ends of the sequence.
struct SharedTokens {
    /// A student token and the first teacher token of equal text, in order of student id.
    let pairs: [(student: UInt32, teacher: UInt32)]
    /// For each teacher token the first student token of equal text; nil where there is none.
    let toStudent: [UInt32?]
}

/// Pairs tokens of two vocabularies by their text.
///
/// Several student tokens of one text all pair with the same teacher token. A token without text is shared
/// only if it is the end of the sequence. Where one text has a token proper and a spelled byte (`A` and
/// `<0x41>`), the spelled one is in no pair: see `TokenTexts.unused`.
func sharedTokens(student: TokenTexts, teacher: TokenTexts) -> SharedTokens {
    let (inStudent, inTeacher) = (student.firstOfText, teacher.firstOfText)
    let pairs = (0..<UInt32(student.count)).compactMap { id -> (UInt32, UInt32)? in
        if id == student.endOfSequence { return teacher.endOfSequence.map { (id, $0) } }
        guard student.hasText(id), !student.unused.contains(id) else { return nil }
        return inTeacher[student.text(of: id)].map { (id, $0) }
    }
    let toStudent = (0..<UInt32(teacher.count)).map { id in
        id == teacher.endOfSequence ? student.endOfSequence : inStudent[teacher.text(of: id)]
    }
    return SharedTokens(pairs: pairs, toStudent: toStudent)
}
