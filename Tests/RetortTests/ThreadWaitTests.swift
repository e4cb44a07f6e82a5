import Foundation
import TestSupport
import Testing

@Suite("How long threads spin for each other")
struct ThreadWaitTests {
    /// What libgomp says of itself as it is loaded, the last time.
    private func spins(_ environment: [String: String]) throws -> String? {
        try withFolder { folder in
            let told = environment.merging(["OMP_DISPLAY_ENV": "verbose"]) { $1 }
            let result = try RetortProcess(["--version"], in: folder, environment: told).wait()
            #expect(result.code == 0)
            return result.errors.split(separator: "\n").last { $0.contains("GOMP_SPINCOUNT") }
                .flatMap { $0.split(separator: "'").dropFirst().first.map(String.init) }
        }
    }

    @Test("a thousand turns, unless something else is asked for")
    func isShort() throws {
        #expect(try spins([:]) == "1000")
        #expect(try spins(["GOMP_SPINCOUNT": "12345"]) == "12345")
        #expect(try spins(["OMP_WAIT_POLICY": "active"]) == "30000000000")
    }
}
