/// Sums over the rows of one array of two caches.
struct SignalSums {
    private var signal: CacheDifference.Signal
    private var sum = 0.0
    private var squares = 0.0
    private var squaresOfA = 0.0

    init(_ name: String, note: String? = nil) {
        signal = CacheDifference.Signal(name: name, note: note)
    }

    /// The sums as one line of the result.
    var result: CacheDifference.Signal {
        var result = signal
        result.mean = sum / Double(max(1, signal.values))
        // Where A is all zeros there is nothing to relate to.
        result.relative = squaresOfA > 0 ? (squares / squaresOfA).squareRoot() : 0
        return result
    }

    private mutating func add(_ a: Double, _ b: Double) {
        let difference = abs(a - b)
        signal.values += 1
        signal.largest = max(signal.largest, difference)
        sum += difference
        squares += difference * difference
        squaresOfA += a * a
    }

    /// Rows of `width` values each.
    mutating func add(rows a: [Float], _ b: [Float], width: Int) {
        guard width > 0, a.count == b.count else { return }
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                for start in stride(from: 0, to: a.count, by: width) {
                    var isEqual = true
                    for i in start..<start + width {
                        add(Double(a[i]), Double(b[i]))
                        isEqual = isEqual && a[i] == b[i]
                    }
                    signal.rows += 1
                    signal.equalRows += isEqual ? 1 : 0
                }
            }
        }
    }

    /// One row of values by token: those of tokens that both have are compared, and the row is equal
    /// when all of it is the same.
    mutating func add(
        row a: Zip2Sequence<ArraySlice<UInt32>, ArraySlice<Float>>,
        _ b: Zip2Sequence<ArraySlice<UInt32>, ArraySlice<Float>>,
        missing: Float? = nil
    ) {
        guard !zip(a, b).allSatisfy(==) || a.underestimatedCount != b.underestimatedCount else {
            for (_, value) in a { add(Double(value), Double(value)) }
            signal.rows += 1
            signal.equalRows += 1
            return
        }
        let theirs = Dictionary(b.map { ($0.0, $0.1) }) { first, _ in first }
        var isEqual = true
        var found = 0
        for (id, value) in a {
            if let other = theirs[id] {
                found += 1
                add(Double(value), Double(other))
                isEqual = isEqual && value == other
            } else {
                isEqual = false
                if let missing { add(Double(value), Double(missing)) }
            }
        }
        if found < theirs.count {
            isEqual = false
            if let missing {
                let mine = Set(a.map(\.0))
                for (id, value) in theirs where !mine.contains(id) {
                    add(Double(missing), Double(value))
                }
            }
        }
        signal.rows += 1
        signal.equalRows += isEqual ? 1 : 0
    }

    /// One row of ids of which each is there or not: the differences are shares of ids that only one
    /// has.
    mutating func add(row a: ArraySlice<UInt32>, _ b: ArraySlice<UInt32>) {
        let (mine, theirs) = (Set(a), Set(b))
        let most = max(mine.count, theirs.count)
        add(1, most == 0 ? 1 : Double(mine.intersection(theirs).count) / Double(most))
        signal.rows += 1
        signal.equalRows += mine == theirs ? 1 : 0
    }
}
