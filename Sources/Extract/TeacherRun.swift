import Models
import Tensors

/// Runs lists of tokens through a teacher as extraction does, without a dataset and a cache around it.
package struct TeacherRun {
    private let examples: [TokenizedExample]

    /// - Parameter lists: Token ids, each below the vocabulary's size; two or more a list.
    package init(_ lists: [[UInt32]]) {
        examples = lists.map(TokenizedExample.init(tokenIDs:))
    }

    /// Makes the final hidden states of all tokens, group by group, and hands them out; weights are read
    /// anew, with what memory the machine can give.
    ///
    /// - Parameter layerDone: Called after each group and layer, one call at a time but from several
    ///   threads; throws to stop.
    /// - Throws: `ModelError`, `ExtractError`, and what `layerDone` throws.
    package func finalStates(
        of checkpoint: Checkpoint,
        compute: ComputeType,
        layerDone: () throws -> Void = {},
        _ body: (Matrix) -> Void
    ) throws {
        let groups = ExtractionPlan.groups(of: 0..<examples.count, examples)
        let c = checkpoint.configuration
        let memory = MemoryPlan(
            MemoryPlan.Sizes(
                teacher: try TeacherSizes(checkpoint),
                width: c.hiddenSize,
                vocabulary: 0,  // no logits are made, so the head is not read
                isBF16: compute.available == .bf16,
                groupTokens: groups.map { examples[$0].tokenCount }.max() ?? 0,
                blockTokens: examples.tokenCount,
                mostStreams: groups.count,
                rowBytes: 14 * c.hiddenSize,
                shard: 0
            ),
            budget: MachineMemory.defaultBudget,
            resident: MachineMemory.resident
        )
        let teacher = try LayerwiseTeacher(
            checkpoint,
            compute: compute,
            memory: memory,
            scratch: "."
        )
        try teacher.run(examples, groups: groups) { _, _, _ in
            try layerDone()
        } finish: { _, states in
            body(states.final)
        }
    }
}
