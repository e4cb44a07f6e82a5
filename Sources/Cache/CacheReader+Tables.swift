import Foundation

extension CacheReader {
    /// What `teacher.h5` has, to be written again: rows are read when they are asked for.
    ///
    /// - Throws: `CacheError`.
    public func tables() throws -> TeacherTables {
        let head = try teacherTable(TeacherFormat.head)
        let embedding = try teacherTable(TeacherFormat.embeddingRows)
        return TeacherTables(
            head: { try head.readFloats(rows: $0, into: $1) },
            embeddingIDs: try embeddingIDs(),
            embedding: { try embedding.readFloats(rows: $0, into: $1) },
            tokenizerFiles: try tokenizerFiles(),
            logitScale: try logitScale()
        )
    }

    /// Gives another cache this one's `teacher.h5`: the same file where it is packed as that one's are.
    func copyTeacher(to writer: CacheWriter) throws {
        let mine = manifest.description
        guard mine.compression == writer.description.compression,
            mine.formatVersion == writer.description.formatVersion
        else { return try writer.writeTeacher(try tables()) }
        try bring(manifest.teacher, as: CacheLayout.teacher, to: writer.directory)
        try writer.enter(teacher: manifest.teacher)
    }

    /// Gives a file of this cache a second name in another one, or copies it, and checks it.
    func bring(_ entry: FileEntry, as path: String, to directory: URL) throws {
        try DurableFile.link(
            self.directory.appendingPathComponent(entry.path),
            to: directory.appendingPathComponent(path)
        ) { descriptor, path in
            guard try DurableFile.size(descriptor, path: path) == entry.bytes,
                try sha256(descriptor: descriptor, path: path) == entry.sha256
            else { throw CacheError.corrupt(path, "not what the manifest says") }
        }
    }
}
