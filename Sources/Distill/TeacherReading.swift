import Cache
import Tensors

/// What a run reads of its cache's teacher: what the criterion needs, as the settings have it.
struct TeacherReading: Sendable {
    /// Final hidden states, and whether the head or the embedding rows are needed.
    let hidden: Bool, head: Bool, embedding: Bool
    /// Token texts of both vocabularies.
    let texts: Bool
    /// Where the distribution is stored; nil where it is not, or nobody asks for it.
    let stored: TeacherSignal?
    /// Layers beside the final one, of the teacher and of the student.
    let teacherLayers: [Int], studentLayers: Set<Int>
    /// D, V_t and k of the cache.
    let hiddenSize: Int, vocabulary: Int, topK: Int

    /// Nothing but hidden states, for an evaluation.
    init(hiddenOf cached: CacheDescription) {
        self.init([.hiddenStates], CriterionSettings(), cached)
    }

    /// What a criterion reads of a cache.
    init(_ needs: CriterionNeeds, _ settings: CriterionSettings, _ cached: CacheDescription) {
        let needs = needs.with(settings.teacherSignal)
        let isStored = needs.contains(.distribution) && settings.teacherSignal != .exact
        stored = isStored ? settings.teacherSignal : nil
        hidden = needs.contains(.hiddenStates)
        head = needs.contains(.head)
        embedding = needs.contains(.embedding)
        texts = needs.contains(.texts)
        let layers = needs.contains(.layers) ? settings.layers : []
        teacherLayers = Set(layers.compactMap(\.teacher)).sorted()
        studentLayers = Set(layers.compactMap(\.student))
        hiddenSize = cached.teacher.hiddenSize
        vocabulary = cached.teacher.vocabularySize
        topK = cached.topK
    }

    /// Whether the top-k entries are read.
    var readsTopK: Bool { stored == .topK }

    /// What else is read; a cache that lacks it says so.
    var extra: ExtraSignals {
        ExtraSignals(
            hiddenLayers: teacherLayers,
            samples: stored == .sampled,
            fullLogits: stored == .full
        )
    }

    /// - Throws: `CacheError.missing` where the cache stores no top-k that is asked for; the other signals
    ///   are asked for by name when the cache is streamed.
    func require(of cached: CacheDescription, cache: String) throws {
        guard readsTopK, cached.topK == 0 else { return }
        throw CacheError(
            .missing,
            path: cache,
            "teacher_signal: topk needs the teacher's most likely tokens, which this cache does not store",
            remedy: "Extract it with extract.top_k: 64, or use teacher_signal: exact."
        )
    }
}

/// The teacher's side of a micro-batch, put together record by record.
struct TeacherSignals {
    private let reading: TeacherReading
    private var hidden: [Float] = []
    private var layers: [Int: [Float]] = [:]
    private var topKIDs: [UInt32] = []
    private var topKLogProbs: [Float] = []
    private var samples = SampledTokens()
    /// Rows beyond `fullRows` have no numbers yet.
    private let fullLogProbs: Matrix
    private var fullRows = 0

    /// - Parameter mostRows: Rows that will be added at most.
    init(_ reading: TeacherReading, mostRows: Int) {
        self.reading = reading
        // Made once: an array that grows would hold whole rows of the vocabulary twice.
        let columns = reading.stored == .full ? reading.vocabulary : 0
        fullLogProbs = Matrix(uninitialized: mostRows, columns)
    }

    /// Adds the first `rows` rows of a record.
    mutating func append(_ record: CacheRecord, rows: Int) {
        if reading.hidden { hidden += record.hidden.prefix(rows * reading.hiddenSize) }
        for layer in reading.teacherLayers {
            let states = record.layers[layer] ?? []
            layers[layer, default: []] += states.prefix(rows * reading.hiddenSize)
        }
        switch reading.stored {
        case .topK:
            topKIDs += record.topKIDs.prefix(rows * reading.topK)
            topKLogProbs += record.topKLogProbs.prefix(rows * reading.topK)
        case .sampled:
            let own = record.samples.slice(rows: 0..<rows)
            let start = samples.ids.count
            samples.offsets += own.offsets.dropFirst().map { $0 + start }
            samples.ids += own.ids
            samples.counts += own.counts
        case .full:
            let own = record.fullLogProbs.prefix(rows * reading.vocabulary)
            let place = fullLogProbs.slice(rows: fullRows..<fullRows + rows)
            own.withUnsafeBufferPointer { numbers in
                guard let base = numbers.baseAddress else { return }
                place.base.update(from: base, count: numbers.count)
            }
            fullRows += rows
        case .exact, nil:
            break
        }
    }

    /// (m, D); empty where no hidden states are read.
    func hidden(rows: Int) -> Matrix {
        reading.hidden
            ? Matrix(hidden, rows: rows, columns: reading.hiddenSize) : Matrix(zeros: rows, 0)
    }

    func layers(rows: Int) -> [Int: Matrix] {
        layers.mapValues { Matrix($0, rows: rows, columns: reading.hiddenSize) }
    }

    func teacherRows(rows: Int) -> TeacherRows {
        switch reading.stored {
        case .topK: .topK(ids: topKIDs, logProbs: topKLogProbs, k: reading.topK)
        case .sampled: .sampled(samples)
        case .full: .full(fullLogProbs.slice(rows: 0..<rows))
        case .exact, nil: .exact
        }
    }
}
