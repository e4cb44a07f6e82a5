import CJail
import Foundation
import Synchronization

/// Where HDF5 reads the structure of files that others may have written: in a process that can do
/// nothing else.
///
/// HDF5 1.10 can crash on damaged structure, or worse. With the jail on, it meets a stranger's bytes
/// only in a process that may read that one file, take memory and write its answer; what it answers is
/// checked like a stranger's file. Without (in tests of this library), all stays in this process.
package enum HDF5Jail {
    /// The hidden first argument of the command that makes it the keeper of such processes.
    package static let keeperArgument = "__read-structure"
    /// The hidden first argument that prints what a jailed process can still do.
    package static let probeArgument = "__probe-jail"
    /// The variable with which a person goes on where no such process can be started.
    static let offVariable = "RETORT_NO_SANDBOX"
    /// The variable with which the walls that are missing are told on stderr.
    static let debugVariable = "RETORT_SANDBOX_DEBUG"

    private static let isOn = Atomic<Bool>(false)
    private static let reader = JailedReader(start: JailKeeper.init)

    /// From here on, files are listed in the jail.
    ///
    /// For commands whose executable handles `keeperArgument`.
    package static func turnOn() {
        let isOff = ProcessInfo.processInfo.environment[offVariable] == "1"
        isOn.store(!isOff, ordering: .releasing)
        // Without, the keeper would end by itself, but nobody might reap it in a container.
        atexit { HDF5Jail.reader.end() }
    }

    /// Lists the arrays of an open file that others may have written.
    static func list(descriptor: Int32, path: String, limit: Int) throws -> FileListing {
        guard isOn.load(ordering: .acquiring) else {
            return try HDF5Library.list(descriptor: descriptor, path: path, limit: limit)
        }
        return try reader.list(descriptor: descriptor, path: path, limit: limit)
    }

    /// Lists the arrays of an open file that anybody may have written, with any program.
    static func listTensors(descriptor: Int32, path: String) throws -> TensorListing {
        guard isOn.load(ordering: .acquiring) else {
            return try HDF5Library.listTensors(descriptor: descriptor, path: path)
        }
        return try reader.listTensors(descriptor: descriptor, path: path)
    }

    /// The life of the process that `keeperArgument` starts; its socket is descriptor 3.
    package static func serve() -> Never {
        guard HDF5Library.start() else { _exit(70) }
        cj_serve(3) { kind, file, reply, bytes, limit in
            // In a fork with all walls up.
            let answer =
                switch kind {
                case CJ_LIST:
                    ListingWire.encoded {
                        try HDF5Library.list(
                            descriptor: file,
                            path: "",
                            fileBytes: Int(bytes),
                            limit: Int(limit)
                        )
                    }
                case CJ_LIST_TENSORS:
                    TensorWire.encoded {
                        try HDF5Library.listTensors(
                            descriptor: file,
                            path: "",
                            fileBytes: Int(bytes)
                        )
                    }
                default: withUnsafeBytes(of: cj_probe().littleEndian) { Array($0) }
                }
            _ = cj_write_all(reply, answer, answer.count)
        }
    }

    /// What a jailed process can do that it must not, a bit each (cj_jail.h), with all walls and
    /// without the system call filter; and the walls that this system has.
    package static func probe() throws -> (walls: Int32, filtered: UInt32, unfiltered: UInt32) {
        let keeper = try JailKeeper()
        defer { keeper.end() }
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(null) }
        func bits(_ kind: UInt32) throws -> UInt32 {
            let answer = try keeper.answer(kind: kind, descriptor: null, limit: 0)
            guard answer.bytes.count == 4 else {
                throw JailKeeper.failure("the probe ended with status \(answer.status)", code: 0)
            }
            return answer.bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
        return (keeper.walls, try bits(CJ_PROBE), try bits(CJ_PROBE_UNFILTERED))
    }
}
