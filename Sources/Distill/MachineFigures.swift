import Foundation

/// What the machine and the operating system say of themselves, but for memory (`MachineMemory`).
enum MachineFigures {
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

    /// What stands after the colon of a line `name : value`.
    private static func value(_ key: String, in path: String) -> String? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            return line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        return nil
    }
}
