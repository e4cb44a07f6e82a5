import Tensors

/// Pictures of some held-out examples: `eval.maps.json`.
public struct EvalMaps: Codable, Sendable, Equatable {
    /// Of one model.
    public struct Model: Codable, Sendable, Equatable {
        /// How alike the states of a text's tokens are.
        public var similarity: [SimilarityMap] = []
        /// What cross-model attention matches; none for other criteria.
        public var alignments: [ExampleAlignment] = []

        /// None yet.
        public init() {}
    }

    /// By the models' names.
    public var models: [String: Model] = [:]

    /// None yet.
    public init() {}

    /// Examples of each kind that are kept, and positions of each side: what a screen can show.
    public static let examples = 2
    /// See `examples`.
    public static let positions = 40
}

/// Cosines between the final hidden states at the positions of a text, the student's and the teacher's.
public struct SimilarityMap: Codable, Sendable, Equatable {
    /// The example's id in the cache.
    public var id: String
    /// The student's token that was read last at each of k positions.
    public var tokens: [String]
    /// (k, k), three decimals.
    public var student: [[Double]]
    /// See `student`.
    public var teacher: [[Double]]

    /// - Parameters:
    ///   - tokens: See there.
    ///   - student: (k, d), the states at positions before which both have read the same text.
    ///   - teacher: (k, D), those of the teacher there.
    init(id: String, tokens: [String], student: Matrix, teacher: Matrix) {
        (self.id, self.tokens) = (id, tokens)
        self.student = Self.cosines(student)
        self.teacher = Self.cosines(teacher)
    }

    private static func cosines(_ states: Matrix) -> [[Double]] {
        let products = Matrix(uninitialized: states.rows, states.rows)
        multiply(states, states, transposeB: true, into: products)
        return (0..<states.rows).map { i in
            (0..<states.rows).map { j in
                let squares = Double(products[i, i]) * Double(products[j, j])
                let cosine = squares > 0 ? Double(products[i, j]) / squares.squareRoot() : 0
                return cosine.isFinite ? (cosine * 1e3).rounded() / 1e3 : 0
            }
        }
    }
}

extension ExampleAlignment {
    /// Its first positions on either side, as many as a map shows.
    public var clipped: ExampleAlignment {
        let limit = EvalMaps.positions
        func first(_ weights: [[Double]]) -> [[Double]] {
            weights.prefix(limit).map { Array($0.prefix(limit)) }
        }
        func first(_ side: Side) -> Side {
            Side(inputs: Array(side.inputs.prefix(limit)), labels: Array(side.labels.prefix(limit)))
        }
        var clipped = self
        clipped.student = first(student)
        clipped.teacher = first(teacher)
        clipped.toStudent = first(toStudent)
        clipped.toTeacher = first(toTeacher)
        return clipped
    }
}
