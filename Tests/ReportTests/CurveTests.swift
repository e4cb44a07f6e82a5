import Testing

@testable import Report

@Suite("Curves")
struct CurveTests {
    @Test("of a long run keep their ends and every extreme, in order")
    func thinned() {
        var points = (1...100_000).map { CurvePoint(Double($0), 5 - Double($0) / 30_000) }
        points[31_415].y = 1e3
        points[92_653].y = -1e3
        let kept = Curve.thinned(points, buckets: 300)
        #expect(kept.count <= 602 && kept.first == points.first && kept.last == points.last)
        #expect(kept.contains(points[31_415]) && kept.contains(points[92_653]))
        #expect(zip(kept, kept.dropFirst()).allSatisfy { $0.x < $1.x })
        #expect(Curve.thinned(Array(points.prefix(50)), buckets: 300).count == 50)
        #expect(Curve.thinned([], buckets: 300).isEmpty)
    }

    @Test("are smoothed by means of equal parts")
    func smoothed() {
        let points = (0..<1000).map { CurvePoint(Double($0), Double($0 % 2)) }
        let smooth = Curve.smoothed(points, buckets: 50)
        #expect(smooth.count == 50 && smooth.allSatisfy { $0.y == 0.5 })
        #expect(smooth[0].x == 9.5 && Curve.end(points) == 0.5)
        #expect(Curve.smoothed(Array(points.prefix(100)), buckets: 50).count == 100)
    }
}
