import Foundation

extension Checkpoint {
    /// The name under which the adapter has a weight: one of those that checkpoints give it.
    func adapterName(_ name: String) -> String {
        guard let adapter else { return name }
        return architecture.storedNames(name).first {
            adapter.replacements[$0] != nil || adapter.products[$0] != nil
        } ?? name
    }

    /// Whether the adapter has its own in the place of a stored tensor.
    func isReplaced(_ stored: String) -> Bool {
        guard let adapter else { return false }
        return adapter.replacements.keys.contains { basePlace(of: $0).name == stored }
    }

    /// Everything that the adapter changes must be in the model, in that shape.
    ///
    /// - Parameter tied: Whether the base model's head is its embedding: then it is not stored, but may
    ///   be replaced by one of its own.
    func checkAdapter(tied: Bool) throws {
        guard let adapter else { return }
        func mismatch(_ name: String, _ message: String) -> ModelError {
            ModelError(
                .mismatch,
                path: adapter.path,
                "\(name) \(message)",
                remedy: "Give the base model that the adapter was made for."
            )
        }
        for name in adapter.replacements.keys {
            guard
                weights.info(basePlace(of: name).name) != nil || tied && name == "lm_head.weight"
            else { throw mismatch(name, "is replaced, but \(url.path) has no such weight") }
        }
        for (name, product) in adapter.products {
            let place = basePlace(of: name)
            guard let info = weights.info(place.name) else {
                throw mismatch(name, "is changed, but \(url.path) has no such weight")
            }
            guard info.shape == place.layout.storedShape(product.shape) else {
                throw mismatch(
                    name,
                    "is changed in shape \(product.shape), but \(place.name) of \(url.path) has "
                        + "\(info.shape)"
                )
            }
        }
    }
}
