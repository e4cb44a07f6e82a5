import Foundation

/// Who holds a claim: what the claim's file says, and how another process finds out whether the
/// holder still runs.
struct ShardClaimOwner: Codable, Equatable, Sendable {
    /// For people.
    var host: String
    /// The kernel's id of this start of the machine; empty where there is none.
    var boot: String
    /// The process namespace, in which `pid` counts: containers on one machine have several.
    var processes: String
    /// The process.
    var pid: Int32
    /// When the process started, in the kernel's ticks: a number used again has another.
    var processStart: String
    /// "worker 3 of 8", or "a run without --worker".
    var worker: String
    /// When the claim was made, UTC, for people.
    var time: String
    /// Different for every claim.
    var nonce: String

    /// This process, with a new nonce.
    static func current(worker: CacheWorker?) -> ShardClaimOwner {
        let pid = getpid()
        return ShardClaimOwner(
            host: ProcessInfo.processInfo.hostName,
            boot: line("/proc/sys/kernel/random/boot_id"),
            processes: processNamespace,
            pid: pid,
            processStart: Self.process(pid)?.start ?? "",
            worker: words(worker),
            time: ISO8601DateFormatter().string(from: Date()),
            nonce: newNonce()
        )
    }

    /// 16 random hex digits.
    static func newNonce() -> String {
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// True when the holder is no more: its process has ended, as far as this one can see; or it
    /// was the same worker elsewhere, and the scheduler, which runs each once, has started it anew.
    func isGone(for worker: CacheWorker?) -> Bool {
        guard !boot.isEmpty, !processes.isEmpty, pid > 0,
            boot == Self.line("/proc/sys/kernel/random/boot_id"),
            processes == Self.processNamespace
        else { return worker != nil && self.worker == Self.words(worker) }
        guard let process = Self.process(pid) else { return kill(pid, 0) != 0 && errno == ESRCH }
        // A zombie only waits for its parent: it writes nothing any more.
        return process.state == "Z" || process.state == "X" || process.start != processStart
    }

    private static func words(_ worker: CacheWorker?) -> String {
        worker?.description ?? "a run without --worker"
    }

    private static var processNamespace: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/pid")) ?? ""
    }

    private static func line(_ path: String) -> String {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return "" }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// State and start time of a process: fields 3 and 22 of its `stat`, of which the second, the
    /// name in parentheses, can hold anything.
    private static func process(_ pid: Int32) -> (state: String, start: String)? {
        let text = line("/proc/\(pid)/stat")
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19 else { return nil }
        return (String(fields[0]), String(fields[19]))
    }
}
