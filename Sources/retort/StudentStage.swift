import Cache
import Extract
import Foundation

/// Makes a pipeline's student once, and remembers how: a student made otherwise is not taken for it.
enum StudentStage {
    /// What a student's directory says of its making, in `student.json`.
    private struct Recipe: Codable, Equatable {
        var new: StudentSettings.New?
        var pruneLayers: [Int]?
        /// The checksum of the cache whose texts trained the tokenizer, or of the teacher's weights.
        var source: String
    }

    /// - Throws: `Failure` (73) when the directory holds a student made in another way, (66) when a
    ///   directory that the file names holds none.
    static func run(_ pipeline: Pipeline) throws {
        let directory = pipeline.studentDirectory
        let hasModel = FileManager.default.fileExists(atPath: directory + "/config.json")
        if case .directory = pipeline.student {
            guard hasModel else {
                throw Failure(
                    "student.from: there is no model in \(directory)",
                    code: Failure.Code.missing
                )
            }
            return
        }
        let wanted = try recipe(pipeline)
        let url = URL(fileURLWithPath: directory).appendingPathComponent("student.json")
        if FileManager.default.fileExists(atPath: directory) {
            let data = (try? Data(contentsOf: url)) ?? Data()
            guard hasModel, (try? JSONDecoder().decode(Recipe.self, from: data)) == wanted else {
                throw Failure(
                    "\(directory): this student was made with other settings or from another cache; "
                        + "remove it, or choose another output",
                    code: Failure.Code.outputExists
                )
            }
            Console.say("student: \(directory) is there")
            return
        }
        // Made beside its place and moved there whole: a killed run leaves no half student.
        let partial = directory + ".partial"
        try? FileManager.default.removeItem(atPath: partial)
        switch pipeline.student {
        case .new(let shape):
            try StudentMaker.new(texts: pipeline.extract.output, output: partial, shape: shape)
        case .prune(let layers):
            try StudentMaker.prune(pipeline.extract.teacher, layers: layers, output: partial)
        case .directory: break
        }
        try Data(jsonText(wanted).utf8).write(
            to: URL(fileURLWithPath: partial).appendingPathComponent("student.json")
        )
        try FileManager.default.moveItem(atPath: partial, toPath: directory)
        Console.say("student: it is \(directory)")
    }

    private static func recipe(_ pipeline: Pipeline) throws -> Recipe {
        let reader = try CacheReader(directory: URL(fileURLWithPath: pipeline.extract.output))
        switch pipeline.student {
        case .new(let shape):
            return Recipe(new: shape, source: reader.contentSHA256)
        case .prune(let layers):
            return Recipe(
                pruneLayers: layers,
                source: reader.manifest.description.teacher.weightsSHA256
            )
        case .directory(let path):
            return Recipe(source: path)
        }
    }
}
