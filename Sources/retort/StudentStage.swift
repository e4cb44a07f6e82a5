import Cache
import Extract
import Foundation
import Models
import Tokenizers

/// Makes a pipeline's student once, and remembers how: a student made otherwise is not taken for it.
enum StudentStage {
    /// What a student's directory says of its making, in `student.json`.
    private struct Recipe: Codable, Equatable {
        var new: StudentSettings.New?
        /// Of a student of which only layers were chosen, by number.
        var pruneLayers: [Int]?
        /// Of any other.
        var prune: StudentSettings.Prune?
        /// The checksum of the cache whose texts trained the tokenizer, the fingerprint of one that was
        /// there, or the checksum of the teacher's weights.
        var source: String
    }

    /// Looks for a student that is taken as it is: a directory or a GGUF file, of which only the head is read.
    ///
    /// - Throws: `Failure` (66) where there is none; `ModelError`.
    static func requireModel(_ path: String) throws {
        do {
            _ = try Checkpoint(URL(fileURLWithPath: path))
        } catch let error as ModelError where error.kind == .missing {
            throw Failure(
                "student.from: there is no model in \(path)",
                code: Failure.Code.missing
            )
        }
    }

    /// - Throws: `Failure` (73) when the directory holds a student made in another way, (66) when a
    ///   directory that the file names holds none.
    static func run(_ pipeline: Pipeline) throws {
        let directory = pipeline.studentDirectory
        if case .directory = pipeline.student { return try requireModel(directory) }
        let hasModel = FileManager.default.fileExists(atPath: directory + "/config.json")
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
        case .prune(var settings):
            if settings.cutsWidth { settings.sample = settings.sample ?? pipeline.extract.output }
            try StudentMaker.prune(pipeline.extract.teacher, settings, output: partial)
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
            let tokenizer = try shape.tokenizer.map {
                try Tokenizer(contentsOf: URL(fileURLWithPath: $0))
            }
            return Recipe(new: shape, source: tokenizer?.fingerprint ?? reader.contentSHA256)
        case .prune(let settings):
            let teacher = reader.manifest.description.teacher.weightsSHA256
            if let layers = settings.layerNumbers, !settings.cutsWidth {
                return Recipe(pruneLayers: layers, source: teacher)
            }
            let measured = settings.cutsWidth && settings.sample == nil
            return Recipe(
                prune: settings,
                source: measured ? teacher + " " + reader.contentSHA256 : teacher
            )
        case .directory(let path):
            return Recipe(source: path)
        }
    }
}
