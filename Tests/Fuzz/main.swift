/// Opens damaged files by the thousand, as the commands would, and counts what comes of it.
///
/// An error is right, and so is a file that still opens; a crash, a hang or memory out of proportion
/// ends the process (scripts/fuzz.sh builds it with AddressSanitizer and sets the limits). The file
/// that did it is left in the working directory.
///
///     fuzz KIND MUTATIONS SEED WORK-DIRECTORY FILE...
import Cache
import Foundation

// HDF5 reads structure in a process of its own, as for the commands.
if CommandLine.arguments.dropFirst().first == HDF5Jail.keeperArgument { HDF5Jail.serve() }
HDF5Jail.turnOn()

func fail(_ message: String) -> Never {
    FileHandle.standardError.write(Data("fuzz: \(message)\n".utf8))
    exit(64)
}

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count >= 5, let target = Target(rawValue: arguments[0]),
    let count = Int(arguments[1]), let seed = UInt64(arguments[2])
else {
    let kinds = Target.allCases.map(\.rawValue).joined(separator: "|")
    fail("usage: fuzz \(kinds) MUTATIONS SEED WORK-DIRECTORY FILE...")
}
let work = URL(fileURLWithPath: arguments[3])
let sources = arguments[4...].map { URL(fileURLWithPath: $0) }
let originals = try sources.map { [UInt8](try Data(contentsOf: $0)) }
/// A mutated file lies among the unchanged files that it came with.
let folders = try sources.indices.map { index in
    let folder = work.appendingPathComponent("\(target.rawValue)-\(index)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let source = sources[index].deletingLastPathComponent()
    guard ![.gguf, .tensors, .criterion].contains(target) else { return folder }
    for name in try FileManager.default.contentsOfDirectory(atPath: source.path)
    where name.hasSuffix(".json") || name.hasSuffix(".safetensors") {
        let copy = folder.appendingPathComponent(name)
        try? FileManager.default.removeItem(at: copy)
        try FileManager.default.copyItem(at: source.appendingPathComponent(name), to: copy)
    }
    return folder
}

// The files themselves must open, or nothing would be shown.
for (index, folder) in folders.enumerated() {
    try Data(originals[index]).write(to: folder.appendingPathComponent(target.fileName))
    do { try target.use(folder) } catch { fail("\(sources[index].path) does not open: \(error)") }
}

var (opened, refused) = (0, 0)
var reasons: [String: Int] = [:]
for number in 0..<count {
    let index = number % originals.count
    var bytes = originals[index]
    let text = target.text(bytes)
    var mutation = Mutation(seed: seed, number: number)
    mutation.apply(
        to: &bytes,
        text: text,
        other: originals[(index + 1 + number / originals.count) % originals.count]
    )
    if number % 3 != 0, let text {
        target.mend(&bytes, grownBy: bytes.count - originals[index].count, oldHeader: text.count)
    }
    try Data(bytes).write(to: folders[index].appendingPathComponent(target.fileName))
    alarm(20)
    do {
        try target.use(folders[index])
        opened += 1
    } catch {
        refused += 1
        reasons[String(describing: type(of: error)), default: 0] += 1
    }
    alarm(0)
}
let kinds = reasons.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
print(
    "\(target.rawValue): \(count) mutations of \(originals.count) files, \(opened) opened, "
        + "\(refused) refused (\(kinds.joined(separator: ", ")))"
)
