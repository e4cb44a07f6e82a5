import Foundation

/// What a path that a person gives as a model stands for.
package enum ModelLocation: Equatable {
    /// A GGUF file, or a part of a split one.
    case gguf(String)
    /// A directory as `save_pretrained` writes it.
    case directory(URL)
    /// A LoRA adapter, and the base model that lies inside it.
    case adapter(URL, base: URL)

    static let configurationName = "config.json"

    /// Looks at the path; a directory without config.json may hold one GGUF model, or be an adapter.
    ///
    /// - Throws: `ModelError`: `missing`, `mismatch` when there is no telling which model is meant, `io`.
    package init(_ url: URL) throws {
        let manager = FileManager.default
        var isDirectory: ObjCBool = false
        guard manager.fileExists(atPath: url.path, isDirectory: &isDirectory) else {
            throw ModelError(
                .missing,
                path: url.path,
                "there is no model here",
                remedy: "Give a Hugging Face directory or a .gguf file."
            )
        }
        guard isDirectory.boolValue else {
            guard !["safetensors", "json"].contains(url.pathExtension) else {
                throw ModelError(
                    .mismatch,
                    path: url.path,
                    "this is one file of a model",
                    remedy: "Give the directory that it is in."
                )
            }
            self = .gguf(url.path)
            return
        }
        func has(_ name: String) -> Bool {
            manager.fileExists(atPath: url.appendingPathComponent(name).path)
        }
        if has(Self.configurationName) {
            self = .directory(url)
            return
        }
        if has(LoraSettings.fileName) {
            self = .adapter(url, base: try Self.base(ofAdapter: url))
            return
        }
        guard let names = try? manager.contentsOfDirectory(atPath: url.path) else {
            throw ModelError(.io, path: url.path, "the directory cannot be read")
        }
        let models = GGUFSplit.models(among: names)
        guard models.count < 2 else {
            throw ModelError(
                .mismatch,
                path: url.path,
                "there are \(models.count) GGUF models here: "
                    + models.prefix(4).joined(separator: ", "),
                remedy: "Name one of the files."
            )
        }
        // Without any, reading the configuration says what is missing.
        self = models.first.map { .gguf(url.appendingPathComponent($0).path) } ?? .directory(url)
    }

    /// The base model of an adapter that stands for a model by itself.
    ///
    /// An adapter from a stranger must not make us open what lies elsewhere: only a directory inside
    /// the adapter's own counts.
    private static func base(ofAdapter url: URL) throws -> URL {
        let settings = try LoraSettings(
            contentsOf: url.appendingPathComponent(LoraSettings.fileName)
        )
        let parts = settings.baseModel.split(separator: "/", omittingEmptySubsequences: false)
            .map(String.init)
        let isInside = parts.allSatisfy(SafetensorsDirectory.isPlainName)
        let base = url.appendingPathComponent(settings.baseModel)
        guard isInside,
            FileManager.default.fileExists(
                atPath: base.appendingPathComponent(configurationName).path
            )
        else {
            throw ModelError(
                .missing,
                path: url.path,
                "this is an adapter for \"\(settings.baseModel.prefix(200))\", not a model",
                remedy:
                    "Give the base model's directory, and this one as adapter: `retort extract --set adapter=DIR`."
            )
        }
        return base
    }
}
