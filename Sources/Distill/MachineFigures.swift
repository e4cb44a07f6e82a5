import Foundation

/// What the machine and the operating system say of themselves.
///
/// Training never imports Extract, whose `MachineMemory` reads the same files for an extraction's budget.
enum MachineFigures {
    /// Memory of the machine, or of the control group that this process is in where that is less, in bytes.
    static var memory: Int {
        let all = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        return min(all, groupLimit ?? all)
    }

    /// The most bytes that this process ever had resident; 0 where the system does not say.
    static var peakResident: Int {
        (value("VmHWM:", in: "/proc/self/status").flatMap { Int($0) } ?? 0) << 10
    }

    /// The processor's name; nil where the system does not say.
    static var processor: String? { value("model name", in: "/proc/cpuinfo") }

    /// The compiler's version, to the minor one.
    static var swiftVersion: String {
        #if compiler(>=6.4)
            "6.4 or later"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2"
        #endif
    }

    /// Bytes that may still be written where a path lies, or will lie; nil where the system does not say.
    static func freeSpace(at url: URL) -> Int? {
        var place = url.standardizedFileURL
        while !FileManager.default.fileExists(atPath: place.path), place.path != "/" {
            place = place.deletingLastPathComponent()
        }
        var found = statvfs()
        guard statvfs(place.path, &found) == 0 else { return nil }
        return Int(clamping: UInt64(found.f_bavail) * UInt64(found.f_frsize))
    }

    /// Bytes of the files under a directory; 0 where there is none.
    static func size(of directory: URL) -> Int {
        let files = FileManager.default.enumerator(
            at: directory,
            includingPropertiesForKeys: [.fileSizeKey]
        )
        var bytes = 0
        while let file = files?.nextObject() as? URL {
            bytes += (try? file.resourceValues(forKeys: [.fileSizeKey]).fileSize) ?? 0
        }
        return bytes
    }

    /// The least limit on memory of this process's control group and those above it, version 2 or 1.
    private static var groupLimit: Int? {
        var files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        let groups = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? ""
        for line in groups.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            var group = String(parts[2])
            while group.count > 1 {
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

    /// The first word, or for `name : value` lines all words, after a key at the start of a line.
    private static func value(_ key: String, in path: String) -> String? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            if let colon = line.firstIndex(of: ":"), !key.hasSuffix(":") {
                return line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            }
            return line.dropFirst(key.count).split(whereSeparator: \.isWhitespace).first
                .map(String.init)
        }
        return nil
    }
}
