import Foundation

/// A small file system in memory; needs root.
///
/// Nil where it cannot be mounted.
public final class SmallDisk {
    /// Where it is mounted.
    public let url: URL

    /// Mounts one of a size.
    public init?(kibibytes: Int) {
        url = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-disk-\(UUID().uuidString)"
        )
        guard geteuid() == 0,
            (try? FileManager.default.createDirectory(
                at: url,
                withIntermediateDirectories: true
            )) != nil,
            Self.run("mount", "-t", "tmpfs", "-o", "size=\(kibibytes)k", "tmpfs", url.path)
        else { return nil }
    }

    /// Gives it another size; false where that fails.
    public func grow(kibibytes: Int) -> Bool {
        Self.run("mount", "-o", "remount,size=\(kibibytes)k", url.path)
    }

    deinit {
        _ = Self.run("umount", url.path)
        try? FileManager.default.removeItem(at: url)
    }

    /// Whether such a thing can be mounted here.
    public static let isAvailable: Bool = SmallDisk(kibibytes: 64) != nil

    private static func run(_ command: String, _ arguments: String...) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [command] + arguments
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
