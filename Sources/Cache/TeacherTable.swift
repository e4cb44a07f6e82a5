import CKernels
import Foundation

/// The head, or the embedding, on its way to disk: rows that are made when they are asked for.
struct TeacherTable {
    let rows: TeacherTables.Rows
    let count: Int
    let width: Int

    /// Rows looked at in one go: 4 MiB.
    private var step: Int { max(1, (1 << 20) / max(1, width)) }

    /// bf16 or f16 where every number of the table is one, as in checkpoints of that type; else f32.
    ///
    /// Reads the table once, or as far as the first number that is neither.
    func smallestExactType() throws -> ElementType {
        var types: [ElementType] = [.bf16, .f16]
        for start in stride(from: 0, to: count, by: step) {
            let range = start..<min(start + step, count)
            try withRows(range) { values in
                types.removeAll { !Self.holds($0, values) }
            }
            if types.isEmpty { return .f32 }
        }
        return types.first ?? .f32
    }

    /// Writes rows in the stored type.
    func write(_ range: Range<Int>, as type: ElementType, to target: UnsafeMutableRawBufferPointer)
        throws
    {
        guard type != .f32 else {
            return try rows(range, target.bindMemory(to: Float.self))
        }
        try withRows(range) { Self.convert($0, type, target.bindMemory(to: UInt16.self)) }
    }

    private func withRows(_ range: Range<Int>, _ body: (UnsafeBufferPointer<Float>) -> Void) throws
    {
        let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: range.count * width)
        defer { buffer.deallocate() }
        buffer.initialize(repeating: 0)
        try rows(range, buffer)
        body(UnsafeBufferPointer(buffer))
    }

    private static func convert(
        _ values: UnsafeBufferPointer<Float>,
        _ type: ElementType,
        _ target: UnsafeMutableBufferPointer<UInt16>
    ) {
        guard let from = values.baseAddress, let to = target.baseAddress else { return }
        (type == .bf16 ? ck_to_bf16 : ck_f32_to_f16)(from, to, values.count)
    }

    /// Whether the numbers come back from `type` as the same bits.
    private static func holds(_ type: ElementType, _ values: UnsafeBufferPointer<Float>) -> Bool {
        let there = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: values.count)
        let back = UnsafeMutableBufferPointer<Float>.allocate(capacity: values.count)
        defer {
            there.deallocate()
            back.deallocate()
        }
        convert(values, type, there)
        guard let from = there.baseAddress, let to = back.baseAddress,
            let original = values.baseAddress
        else { return true }
        (type == .bf16 ? ck_from_bf16 : ck_f16_to_f32)(from, to, values.count)
        return memcmp(original, to, values.count * 4) == 0
    }
}
