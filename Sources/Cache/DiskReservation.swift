import Foundation

/// Disk space taken in advance, so that a full disk is known before HDF5 writes.
struct DiskReservation {
    let descriptor: Int32
    let path: String
    private var bytes = 0

    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    /// Takes room for `more` bytes beyond those taken before.
    ///
    /// - Throws: `CacheError.diskFull`.
    mutating func add(_ more: Int) throws {
        bytes += more
        try renew()
    }

    /// Takes the same room again, after something has emptied the file.
    ///
    /// - Throws: `CacheError.diskFull`.
    func renew() throws {
        try DurableFile.reserve(bytes, descriptor, path: path, needed: bytes)
    }

    /// Gives back what was taken and not used by an HDF5 file that was written and closed.
    ///
    /// While the file is open HDF5 counts all of it; the superblock (version 3) has the true end as its
    /// third address.
    /// - Returns: The bytes of the file.
    static func cutToEnd(descriptor: Int32, path: String) throws -> Int {
        var end: UInt64 = 0
        guard pread(descriptor, &end, 8, 28) == 8, end >= 48,
            let size = Int(exactly: end.littleEndian)
        else { throw CacheError.corrupt(path, "HDF5 left no superblock") }
        guard ftruncate(descriptor, off_t(size)) == 0 else {
            throw CacheError.system(path, "truncate", code: errno, needed: size)
        }
        return size
    }
}
