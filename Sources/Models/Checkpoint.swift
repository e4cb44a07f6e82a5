import Foundation
import Synchronization
import Tensors

/// A model on disk: a Hugging Face directory or a GGUF file, with a LoRA adapter if one is given.
///
/// Weights are read when asked for. Safe to use from several threads.
public final class Checkpoint: ParameterSource, Sendable {
    /// The directory or file.
    public let url: URL
    /// The sizes.
    public let configuration: ModelConfiguration
    /// What a GGUF file says of itself; nil for a directory.
    public let gguf: GGUFFile?
    let weights: any WeightSource
    let adapter: LoraAdapter?
    private let names: GGUFNames?
    /// The stored tensors that were read, to find those that no part of the model asks for.
    private let used = Mutex<Set<String>>([])

    /// Opens a model without reading its weights.
    ///
    /// - Parameters:
    ///   - url: A directory with config.json and safetensors; a .gguf file, a part of a split one,
    ///     or a directory with nothing else; or a LoRA adapter that holds its base model.
    ///   - adapter: A LoRA adapter as PEFT saves it, added to the weights as they are read.
    /// - Throws: `ModelError`.
    public init(_ url: URL, adapter: URL? = nil) throws {
        self.url = url
        var adapter = adapter
        var location = try ModelLocation(url)
        if case .adapter(let own, let base) = location {
            guard adapter == nil else {
                throw ModelError(
                    .mismatch,
                    path: url.path,
                    "this is an adapter itself",
                    remedy: "Give the base model and one adapter."
                )
            }
            adapter = own
            location = .directory(base)
        }
        var configuration: ModelConfiguration
        switch location {
        case .gguf(let path):
            let file = try GGUFFile(path: path)
            gguf = file
            configuration = try ModelConfiguration(file)
            names = GGUFNames(
                architecture: try file.string("general.architecture"),
                headCount: configuration.headCount,
                headSize: configuration.headSize
            )
            weights = file
        case .directory(let directory), .adapter(_, let directory):
            gguf = nil
            configuration = try ModelConfiguration(
                contentsOf: directory.appendingPathComponent(ModelLocation.configurationName)
            )
            names = nil
            weights = try SafetensorsDirectory(path: directory.path)
        }
        self.adapter = try adapter.map { try LoraAdapter(directory: $0) }
        if try Self.hasOwnHead(configuration, in: weights) { configuration.tiesEmbeddings = false }
        let tied = configuration.tiesEmbeddings
        try self.adapter?.untie(&configuration)
        self.configuration = configuration
        architecture = ArchitectureRegistry.make(configuration)
        try checkAdapter(tied: tied)
    }

    /// The family, with this model's sizes.
    public let architecture: any Architecture

    /// Loads the whole model; every tensor of the file must have a place in it.
    public func model() throws -> TransformerModel {
        let model = try TransformerModel(architecture, from: self)
        try refuseExtraTensors()
        return model
    }

    /// Every weight of the model by name and shape, none of them read yet; every tensor of the file must
    /// have a place among them.
    ///
    /// - Throws: `ModelError`: `missing`, `mismatch`.
    public func streamedWeights() throws -> [StreamedWeight] {
        let outline = try ModelOutline(architecture) { [self] name, shape in
            let place = try located(name, shape)
            if place.source === weights { used.withLock { _ = $0.insert(place.name) } }
        }
        try refuseExtraTensors()
        return outline.weights.map { name, shape in
            StreamedWeight(name: name, shape: shape) { [self] rows, target in
                try parameterRows(name, shape, rows: rows, into: target)
            }
        }
    }

    /// - Throws: `ModelError` naming tensors that nothing has asked for.
    private func refuseExtraTensors() throws {
        let used = used.withLock { $0 }
        let extra = weights.tensorNames.filter { name in
            !used.contains(name) && !architecture.ignores(name)
                && !name.hasSuffix("rotary_emb.inv_freq")
                && !(gguf != nil && GGUFNames.tables.contains(name))
                && !(configuration.tiesEmbeddings && headNames.contains(name))
                && !isReplaced(name)
        }
        guard extra.isEmpty else {
            throw ModelError(
                .mismatch,
                path: url.path,
                "\(extra.count) tensors have no place in a \(configuration.modelType) "
                    + "model: \(extra.sorted().prefix(4).joined(separator: ", "))",
                remedy: "Check model_type in config.json"
            )
        }
    }

    /// See `ParameterSource`; `initial` is not used.
    public func parameter(_ name: String, _ shape: [Int], _ initial: InitialValues = .zeros) throws
        -> Parameter
    {
        // Looked up before memory is taken: a size that the file does not have is refused first.
        _ = try located(name, shape)
        let rows = shape.dropLast().reduce(1, *)
        let value = Matrix(uninitialized: rows, shape.last ?? 1)
        try parameterRows(name, shape, rows: 0..<rows, into: value.base)
        return Parameter(name: name, shape: shape, value: value)
    }

    /// Checks that there is a weight of that name and shape, without reading it.
    ///
    /// - Throws: `ModelError`: `missing`, `mismatch`.
    public func check(_ name: String, _ shape: [Int]) throws { _ = try located(name, shape) }

    /// Reads some rows of a weight as float32, as `parameter` would have them.
    ///
    /// For embeddings and heads too large to hold: the rows of a few tokens, or a slice at a time.
    /// The file's pages do not stay in memory.
    ///
    /// - Parameters:
    ///   - name: The weight's name in a Hugging Face checkpoint.
    ///   - shape: The shape that the weight must have, `[rows, columns]`; a vector is one row.
    ///   - rows: Which rows.
    ///   - into: Room for `rows.count * columns` floats.
    /// - Throws: `ModelError`: `missing`, `mismatch` (shape, rows), `io`.
    public func parameterRows(
        _ name: String,
        _ shape: [Int],
        rows: Range<Int>,
        into target: UnsafeMutablePointer<Float>
    ) throws {
        let place = try located(name, shape)
        guard rows.lowerBound >= 0, rows.upperBound <= shape.dropLast().reduce(1, *) else {
            throw ModelError(
                .mismatch,
                path: url.path,
                "rows \(rows) of \(name), whose shape is \(shape), were asked for"
            )
        }
        try place.layout.read(
            rows: rows,
            shape: shape,
            of: place.name,
            from: place.source,
            into: target
        )
        try adapter?.add(to: adapterName(name), rows: rows, into: target)
        if place.source === weights { used.withLock { _ = $0.insert(place.name) } }
    }

    /// Where a weight is stored, and how.
    struct Place {
        let name: String
        let layout: StoredLayout
        let source: any WeightSource
    }

    private func place(of name: String) -> Place {
        if let adapter, let tensor = adapter.replacements[adapterName(name)] {
            return Place(name: tensor, layout: .plain, source: adapter.weightSource)
        }
        return basePlace(of: name)
    }

    /// The same without an adapter.
    func basePlace(of name: String) -> Place {
        guard let names else {
            return Place(name: storedName(name), layout: .plain, source: weights)
        }
        let (stored, layout) = names.place(of: name)
        return Place(name: stored, layout: layout, source: weights)
    }

    private func located(_ name: String, _ shape: [Int]) throws -> Place {
        let place = place(of: name)
        guard let info = place.source.info(place.name) else {
            throw ModelError(
                .missing,
                path: url.path,
                "tensor \(place.name) is missing",
                remedy: "The checkpoint is incomplete or of another architecture"
            )
        }
        guard info.shape == place.layout.storedShape(shape), place.layout.fits(shape) else {
            throw ModelError(
                .mismatch,
                path: place.source.path,
                "tensor \(place.name) has shape \(info.shape), expected "
                    + "\(place.layout.storedShape(shape))",
                remedy: "config.json and the weights do not belong together"
            )
        }
        return place
    }

    /// The name under which the file has a weight.
    private func storedName(_ name: String) -> String {
        architecture.storedNames(name).first { weights.info($0) != nil } ?? name
    }
}
