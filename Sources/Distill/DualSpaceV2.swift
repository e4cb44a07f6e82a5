/// `dskd_v2`, one vocabulary: position i of the student learns from position i of the teacher.
typealias DualSpaceV2 = DualSpaceV2Criterion<SameTokens>

/// One tokenizer: equal ids, and as many positions.
struct SameTokens: TokenPairing {
    static let name = "dskd_v2"
    static let summary = "dual-space distillation v2, projectors from the heads; one vocabulary"
    static let needs: CriterionNeeds = [.pairedPositions, .hiddenStates, .distribution, .head]
    static let dividesByPairs = false
    private var shared: SharedTokens?

    init(_ context: CriterionContext) {}

    mutating func sharedTokens(_ models: CriterionModels) -> SharedTokens {
        if let shared { return shared }
        let (student, teacher) = (models.studentHead.vocabulary, models.teacherHead.vocabulary)
        let made = SharedTokens(
            pairs: (0..<UInt32(min(student, teacher))).map { ($0, $0) },
            toStudent: (0..<teacher).map { $0 < student ? UInt32($0) : nil }
        )
        shared = made
        return made
    }

    func pairs(_ batch: CriterionBatch) throws -> (student: [Int], teacher: [Int]) {
        try requirePairs(batch, criterion: Self.name)
        let rows = Array(0..<batch.student.count)
        return (rows, rows)
    }
}
