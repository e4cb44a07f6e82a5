import Tokenizers

/// The text of every token of both sides, for criteria that compare vocabularies.
public struct VocabularyTexts: Sendable {
    /// A text for each row of the student's head, and of the teacher's.
    public let student: TokenTexts, teacher: TokenTexts

    /// Texts of two vocabularies.
    public init(student: TokenTexts, teacher: TokenTexts) {
        self.student = student
        self.teacher = teacher
    }

    /// Texts of two tokenizers, for heads of so many rows.
    init(student: Tokenizer, studentRows: Int, teacher: Tokenizer, teacherRows: Int) {
        self.student = TokenTexts(student, vocabulary: studentRows)
        self.teacher = TokenTexts(teacher, vocabulary: teacherRows)
    }
}
