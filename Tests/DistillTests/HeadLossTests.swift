import Testing

@testable import Distill

@Suite("Chunks of a head's rows")
struct HeadLossTests {
    static let gpt2 = 50_257, smolLM = 49_152

    @Test(
        "are as large as the memory allows, of about one size, in multiples of 32 or 16",
        arguments: [
            (2_048, gpt2, 64, 320), (2_048, gpt2 + smolLM, 64, 160), (2_048, smolLM, 64, 320),
            (2_000, gpt2 + smolLM, 64, 160), (2_048, 2 * 151_936, 64, 48),
            (256, 8_192, 64, 256), (33, 8_192, 64, 33), (2_048, 151_936, 16, 27),
            (2_048, 1_000_000, 1, 1),
        ]
    )
    func rows(rows: Int, vocabulary: Int, mebibytes: Int, expected: Int) {
        let limit = mebibytes << 20
        let found = HeadLoss.chunkRows(rows, vocabulary: vocabulary, memoryLimit: limit)
        #expect(found == expected)
        // One row is computed whatever the memory.
        #expect(found == 1 || found * 4 * vocabulary <= limit)
    }
}
