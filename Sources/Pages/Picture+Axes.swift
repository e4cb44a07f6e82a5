extension Picture {
    /// Two axes with their ticks, numbers and labels, and lines across the plot.
    ///
    /// - Parameters:
    ///   - x: From left to right; `y` from bottom to top.
    ///   - labels: What each counts, with its unit.
    ///   - hasColumns: Whether lines stand at the ticks of `x` too, and one at its start: bars need none.
    package mutating func axes(
        _ x: Axis,
        _ y: Axis,
        labels: (x: String, y: String),
        hasColumns: Bool = true
    ) {
        for tick in x.ticks {
            let at = x.position(tick)
            if hasColumns { line((at, y.end), (at, y.start), .faint) }
            text(x.label(tick), (x: at, y: y.start + 18), anchor: .middle)
        }
        for tick in y.ticks {
            let at = y.position(tick)
            line((x.start, at), (x.end, at), .faint)
            text(y.label(tick), (x: x.start - 8, y: at + 4), anchor: .end)
        }
        if hasColumns { line((x.start, y.end), (x.start, y.start), .ink) }
        line((x.start, y.start), (x.end, y.start), .ink)
        let middle = (x: (x.start + x.end) / 2, y: (y.start + y.end) / 2)
        text(labels.x, (x: middle.x, y: y.start + 40), anchor: .middle, size: 13)
        text(labels.y, (x: 18, y: middle.y), anchor: .middle, size: 13, upright: true)
    }
}
