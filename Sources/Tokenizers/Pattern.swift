import CPCRE2

/// A compiled regular expression.
///
/// The one door to PCRE2. UTF and UCP are on, the JIT is used where it works, and each match has
/// limits on steps, depth and memory, since patterns come from strangers' files.
final class Pattern: Sendable {
    /// The pattern as the tokenizer's file has it.
    let source: String
    // PCRE2's manual: compiled code is not changed by matching and may be shared by threads.
    nonisolated(unsafe) private let code: OpaquePointer
    // The same pattern with `NewLetters`, for texts that may hold some.
    nonisolated(unsafe) private let wideCode: OpaquePointer

    init(_ source: String) throws(TokenizerError) {
        self.source = source
        let narrow = try Self.compile(PatternSyntax.translate(source), source: source)
        do {
            wideCode = try Self.compile(
                PatternSyntax.translate(source, newLetters: true),
                source: source
            )
        } catch {
            pcre2_code_free_8(narrow)
            throw error
        }
        code = narrow
    }

    private static func compile(
        _ translated: String,
        source: String
    ) throws(TokenizerError) -> OpaquePointer {
        // Oniguruma's ^ and $ stand at every line.
        let options =
            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C
            | PCRE2_USE_OFFSET_LIMIT
        let context = pcre2_compile_context_create_8(nil)
        defer { pcre2_compile_context_free_8(context) }
        pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
        pcre2_set_parens_nest_limit_8(context, 50)
        var errorNumber: Int32 = 0
        var errorOffset = 0
        let compiled = Array(translated.utf8).withUnsafeBufferPointer {
            pcre2_compile_8(
                $0.baseAddress,
                $0.count,
                options,
                &errorNumber,
                &errorOffset,
                context
            )
        }
        guard let compiled else {
            throw .badPattern(pattern: source, reason: message(errorNumber))
        }
        // Without the JIT (another processor) the interpreter does the same, slower.
        _ = pcre2_jit_compile_8(compiled, UInt32(PCRE2_JIT_COMPLETE))
        return compiled
    }

    deinit {
        pcre2_code_free_8(code)
        pcre2_code_free_8(wideCode)
    }

    /// Calls `body` with each part of `text`: matches, and what lies between them.
    ///
    /// This is Hugging Face's `Split` with the behaviour `Isolated`.
    ///
    /// - Throws: `TokenizerError.matchLimit`, and what `body` throws.
    func split(
        _ text: UnsafeBufferPointer<UInt8>,
        _ matcher: Matcher,
        _ body: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        var kept = 0
        try matches(text, matcher) { match in
            if kept < match.lowerBound {
                try body(UnsafeBufferPointer(rebasing: text[kept..<match.lowerBound]))
            }
            if !match.isEmpty { try body(UnsafeBufferPointer(rebasing: text[match])) }
            kept = match.upperBound
        }
        if kept < text.count { try body(UnsafeBufferPointer(rebasing: text[kept...])) }
    }

    /// Calls `body` with each match in `text`, left to right.
    ///
    /// Empty matches are given too, except right after a match.
    func matches(
        _ text: UnsafeBufferPointer<UInt8>,
        _ matcher: Matcher,
        _ body: (Range<Int>) throws -> Void
    ) throws {
        let code = NewLetters.mayOccur(in: text) ? wideCode : code
        var from = 0
        var lastEnd = -1
        while from <= text.count, let match = try find(code, text, from, matcher) {
            if match.isEmpty, match.lowerBound == lastEnd {
                from += 1
                while from < text.count, text[from] & 0xC0 == 0x80 { from += 1 }
                continue
            }
            try body(match)
            from = match.upperBound
            lastEnd = from
        }
    }

    private func find(
        _ code: OpaquePointer,
        _ text: UnsafeBufferPointer<UInt8>,
        _ from: Int,
        _ matcher: Matcher
    ) throws(TokenizerError) -> Range<Int>? {
        var from = from
        var began: ContinuousClock.Instant?
        while true {
            // PCRE2's limits count anew at each place a match may start. A pattern that runs to the
            // end of a long text from every one of them is stopped by the clock between stretches.
            pcre2_set_offset_limit_8(matcher.context, from + Matcher.stretch)
            // The text is a Swift string's UTF-8, so it is valid; checking it at each match would
            // make splitting quadratic.
            let result = pcre2_match_8(
                code,
                text.baseAddress,
                text.count,
                from,
                PCRE2_NO_UTF_CHECK,
                matcher.data,
                matcher.context
            )
            if result == PCRE2_ERROR_NOMATCH {
                from += Matcher.stretch + 1
                while from < text.count, text[from] & 0xC0 == 0x80 { from += 1 }
                guard from <= text.count else { return nil }
                let now = ContinuousClock.now
                let start = began ?? now
                began = start
                guard now - start < Matcher.timeLimit else {
                    throw .matchLimit(pattern: source, reason: "a match takes too long")
                }
                continue
            }
            guard result >= 0, let ovector = pcre2_get_ovector_pointer_8(matcher.data),
                ovector[0] <= ovector[1]
            else {
                throw .matchLimit(pattern: source, reason: Self.message(result))
            }
            return ovector[0]..<ovector[1]
        }
    }

    private static func message(_ number: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let length = pcre2_get_error_message_8(number, &buffer, buffer.count)
        return length < 0
            ? "PCRE2 error \(number)" : String(decoding: buffer.prefix(Int(length)), as: UTF8.self)
    }

    /// What one thread needs to match: result vector, limits, the JIT's stack.
    final class Matcher {
        /// How many places to start at are tried between looks at the clock.
        static let stretch = 2_048
        /// For one match, after its first stretch.
        static let timeLimit = Duration.seconds(5)
        static let stepLimit: UInt32 = 10_000_000
        static let depthLimit: UInt32 = 100_000
        static let heapLimitKiB: UInt32 = 65_536

        fileprivate let data: OpaquePointer
        fileprivate let context: OpaquePointer
        private let stack: OpaquePointer?

        init() throws(TokenizerError) {
            guard let data = pcre2_match_data_create_8(1, nil) else {
                throw .matchLimit(pattern: "", reason: "out of memory")
            }
            guard let context = pcre2_match_context_create_8(nil) else {
                pcre2_match_data_free_8(data)
                throw .matchLimit(pattern: "", reason: "out of memory")
            }
            self.data = data
            self.context = context
            pcre2_set_match_limit_8(context, Self.stepLimit)
            pcre2_set_depth_limit_8(context, Self.depthLimit)
            pcre2_set_heap_limit_8(context, Self.heapLimitKiB)
            stack = pcre2_jit_stack_create_8(32 << 10, 1 << 20, nil)
            if let stack {
                pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack))
            }
        }

        deinit {
            pcre2_match_data_free_8(data)
            pcre2_match_context_free_8(context)
            if let stack { pcre2_jit_stack_free_8(stack) }
        }
    }
}
