import Foundation

/// What the machine and the operating system say of memory.
package enum MachineMemory {
    /// What an extraction may take when nothing is asked for: three quarters of what is free, or of
    /// the control group's limit where that is less.
    package static var defaultBudget: Int {
        let free = available ?? Int(clamping: ProcessInfo.processInfo.physicalMemory)
        return min(free, groupLimit ?? free) / 4 * 3
    }

    /// What the machine has, or the control group's limit where that is less, in bytes.
    package static var all: Int {
        let all = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        return min(all, groupLimit ?? all)
    }

    /// `MemAvailable` of /proc/meminfo, in bytes.
    package static var available: Int? { kibibytes("MemAvailable:", in: "/proc/meminfo") }
    /// Resident bytes of this process now.
    package static var resident: Int { kibibytes("VmRSS:", in: "/proc/self/status") ?? 0 }
    /// The most bytes that this process ever had resident.
    package static var peak: Int { kibibytes("VmHWM:", in: "/proc/self/status") ?? 0 }

    /// The least limit on this process's control group and those above it (version 2, else 1), in bytes; nil
    /// without one.
    ///
    /// A container sees its own group as the root; outside, the group's path is in /proc/self/cgroup.
    package static var groupLimit: Int? {
        var files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        let groups = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? ""
        for line in groups.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, parts[2] != "/" else { continue }
            // A limit may stand on any group above, as Slurm's on the job.
            var group = String(parts[2])
            while !group.isEmpty, group != "/" {
                if parts[0] == "0" { files.append("/sys/fs/cgroup\(group)/memory.max") }
                if parts[1].split(separator: ",").contains("memory") {
                    files.append("/sys/fs/cgroup/memory\(group)/memory.limit_in_bytes")
                }
                group = String(group[..<(group.lastIndex(of: "/") ?? group.startIndex)])
            }
        }
        // Without a limit the file says "max", or in version 1 a number near 2^63.
        return files.compactMap { file -> Int? in
            guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { return nil }
            return Int(text.trimmingCharacters(in: .whitespacesAndNewlines))
        }.filter { $0 < 1 << 60 }.min()
    }

    private static func kibibytes(_ key: String, in path: String) -> Int? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            let words = line.split(separator: " ")
            guard words.count >= 2, let number = Int(words[1]) else { return nil }
            return number.multipliedReportingOverflow(by: 1024).partialValue
        }
        return nil
    }
}
