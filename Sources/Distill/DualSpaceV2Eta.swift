/// `dskd_v2_eta`, any vocabularies: `dskd_v2` at the positions where both models have read the same text
/// and the next token is the same text too.
typealias DualSpaceV2Eta = DualSpaceV2Criterion<AlignedTokens>

/// Tokens of equal text, at positions that exact token alignment finds (arXiv 2504.11426).
struct AlignedTokens: TokenPairing {
    static let name = "dskd_v2_eta"
    static let summary = "dskd_v2 at exactly aligned tokens; any vocabularies"
    static let needs: CriterionNeeds = [.hiddenStates, .distribution, .head, .texts]
    static let dividesByPairs = true
    private let texts: VocabularyTexts?
    private var shared: SharedTokens?

    init(_ context: CriterionContext) { texts = context.texts }

    mutating func sharedTokens(_ models: CriterionModels) throws -> SharedTokens {
        if let shared { return shared }
        let texts = try requireTexts()
        let made = Distill.sharedTokens(student: texts.student, teacher: texts.teacher)
        shared = made
        return made
    }

    private func requireTexts() throws -> VocabularyTexts {
        guard let texts else {
            throw DistillError.unfit("\(Self.name) needs the token texts of both vocabularies")
        }
        return texts
    }

    /// Rows of the two sides whose labels are the same piece of the same text.
    func pairs(_ batch: CriterionBatch) throws -> (student: [Int], teacher: [Int]) {
        let texts = try requireTexts()
        var rows: (student: [Int], teacher: [Int]) = ([], [])
        for example in 0..<batch.student.exampleCount {
            let student = batch.student.range(ofExample: example)
            let teacher = batch.teacher.range(ofExample: example)
            let aligned = tokenAlignment(
                student: batch.student.labels[student],
                teacher: batch.teacher.labels[teacher],
                studentTexts: texts.student,
                teacherTexts: texts.teacher
            )
            rows.student += aligned.map { student.lowerBound + $0.0 }
            rows.teacher += aligned.map { teacher.lowerBound + $0.1 }
        }
        return rows
    }
}
