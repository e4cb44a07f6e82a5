import CKernels
import Cache
import Models
import Tensors

/// A batch of cached examples in both models' tokens.
struct MicroBatch {
    /// What the student runs over.
    let sequences: VarlenBatch
    /// The rows of the student's hidden states that are supervised, n.
    let rows: [Int]
    /// n, n, and where each example starts.
    let inputs: [UInt32], labels: [UInt32], offsets: [Int]
    let teacher: SupervisedRows
    /// What is known of the teacher's distribution at its rows, and (m, D) states of other layers.
    let teacherRows: TeacherRows, teacherLayers: [Int: Matrix]
    /// The examples in it, in order.
    let records: [CacheRecord]
    /// Examples that were cut to the longest length, and those left out with nothing supervised.
    let cut: Int, dropped: Int
    /// Its number among the pieces of its optimiser step, whoever has the others.
    var place = 0

    /// The batch as a criterion sees it, given the student's hidden states (T, d).
    ///
    /// - Parameter layers: (T, d) states of the student's other layers.
    func criterionBatch(hidden: Matrix, layers: [Int: Matrix] = [:]) -> CriterionBatch {
        criterionBatch(
            supervised: hidden.gathered(rows),
            layers: layers.mapValues { $0.gathered(rows) }
        )
    }

    /// The batch before the student has run: nothing may read its hidden states.
    func criterionBatch(width: Int) -> CriterionBatch {
        criterionBatch(supervised: Matrix(uninitialized: rows.count, width), layers: [:])
    }

    private func criterionBatch(supervised: Matrix, layers: [Int: Matrix]) -> CriterionBatch {
        CriterionBatch(
            student: SupervisedRows(
                hidden: supervised,
                inputs: inputs,
                labels: labels,
                offsets: offsets
            ),
            teacher: teacher,
            teacherRows: teacherRows,
            studentLayers: layers,
            teacherLayers: teacherLayers
        )
    }

    /// Spreads the gradient of the supervised rows (n, d) over all tokens (T, d).
    func spread(_ gradient: Matrix) -> Matrix {
        let all = Matrix(zeros: sequences.tokenCount, gradient.columns)
        all.scatter(gradient, to: rows)
        return all
    }

    /// The examples of some records in pieces of whole examples, in order, numbered from `first`: those
    /// that are this rank's.
    ///
    /// Which pieces there are is the same for any number of ranks.
    ///
    /// - Parameters:
    ///   - limit: The student's tokens in a piece, at most; a longer example is one by itself.
    ///   - isMine: Whether a piece is made, by its number.
    ///   - pairs, reading: See `init`.
    /// - Returns: They, and how many there are with those of other ranks.
    static func pieces(
        of records: [CacheRecord],
        from first: Int,
        isMine: (Int) -> Bool,
        limit: Int,
        encoder: StudentEncoder,
        pairs: Bool,
        reading: TeacherReading
    ) throws -> (mine: [MicroBatch], count: Int) {
        let examples = try records.map { ($0, try encoder.encode($0)) }
        let pieces = VarlenBatch.runs(of: examples.indices, limit: limit) {
            examples[$0].1.tokens.count
        }
        let mine = pieces.enumerated().filter { isMine(first + $0.offset) }.map { index, piece in
            var made = MicroBatch(Array(examples[piece]), pairs: pairs, reading: reading)
            made.place = first + index
            return made
        }
        return (mine, pieces.count)
    }

    init(
        _ records: [CacheRecord],
        encoder: StudentEncoder,
        pairs: Bool,
        reading: TeacherReading
    ) throws {
        let examples = try records.map { ($0, try encoder.encode($0)) }
        self.init(examples, pairs: pairs, reading: reading)
    }

    /// - Parameters:
    ///   - examples: Records, and what the student makes of each.
    ///   - pairs: Whether positions of the two models pair one to one; where one side was cut
    ///     shorter than the other, both keep what both have.
    ///   - reading: What the records hold of the teacher.
    private init(
        _ examples: [(record: CacheRecord, tokens: StudentExample)],
        pairs: Bool,
        reading: TeacherReading
    ) {
        var sequences: [[UInt32]] = []
        var kept: [CacheRecord] = []
        var rows: [Int] = []
        var student = (inputs: [UInt32](), labels: [UInt32](), offsets: [0])
        var teacher = (inputs: [UInt32](), labels: [UInt32](), offsets: [0])
        var signals = TeacherSignals(reading, mostRows: examples.reduce(0) { $0 + $1.record.rows })
        var (start, cut, dropped) = (0, 0, 0)
        for (record, example) in examples {
            if example.wasCut { cut += 1 }
            var (n, m) = (example.supervised.count, record.rows)
            if pairs {
                n = min(n, m)
                m = n
            }
            guard n > 0, m > 0 else {
                dropped += 1
                continue
            }
            for i in example.supervised.prefix(n) {
                rows.append(start + i)
                student.inputs.append(example.tokens[i])
                student.labels.append(example.tokens[i + 1])
            }
            for j in record.supervised.prefix(m) {
                teacher.inputs.append(record.tokenIDs[j])
                teacher.labels.append(record.tokenIDs[j + 1])
            }
            signals.append(record, rows: m)
            student.offsets.append(student.labels.count)
            teacher.offsets.append(teacher.labels.count)
            sequences.append(example.tokens)
            var bare = record
            // They are in `signals` by now.
            bare.fullLogProbs = []
            kept.append(bare)
            start += example.tokens.count
        }
        self.sequences = VarlenBatch(sequences)
        self.rows = rows
        (inputs, labels, offsets) = student
        self.teacher = SupervisedRows(
            hidden: signals.hidden(rows: teacher.labels.count),
            inputs: teacher.inputs,
            labels: teacher.labels,
            offsets: teacher.offsets
        )
        teacherRows = signals.teacherRows(rows: teacher.labels.count)
        teacherLayers = signals.layers(rows: teacher.labels.count)
        self.records = kept
        self.cut = cut
        self.dropped = dropped
    }
}
