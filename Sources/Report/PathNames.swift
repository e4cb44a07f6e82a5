import Foundation

/// Short names of things that lie in a file system.
enum PathNames {
    /// For each path as many of its last parts as tell it from the others, one where that will do.
    static func distinct(_ paths: [String]) -> [String] {
        let parts = paths.map { $0.split(separator: "/").map(String.init) }
        let deepest = parts.map(\.count).max() ?? 0
        var names = parts.map { $0.last ?? "/" }
        for depth in 2..<max(3, deepest + 1) {
            let counts = Dictionary(names.map { ($0, 1) }, uniquingKeysWith: +)
            guard counts.count < names.count else { return names }
            for index in names.indices where counts[names[index]] ?? 0 > 1 {
                names[index] = parts[index].suffix(depth).joined(separator: "/")
            }
        }
        // The very same path again.
        var seen: [String: Int] = [:]
        return names.map { name in
            seen[name, default: 0] += 1
            let number = seen[name] ?? 1
            return number > 1 ? "\(name) (\(number))" : name
        }
    }
}
