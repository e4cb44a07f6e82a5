import Foundation
import Models

/// Low-rank factors, where the settings ask for them.
extension Trainer {
    /// Gives the student its factors, whose first values come from the run's seed.
    ///
    /// - Throws: `DistillError` for a student that can have none, or a target that it has not.
    static func addLora(_ settings: DistillSettings, to model: any LanguageModel) throws {
        guard let lora = settings.lora else { return }
        guard let model = model as? TransformerModel else {
            throw DistillError.unfit("this student takes no low-rank factors; leave out lora")
        }
        for target in model.targets(of: lora) {
            try requireName(target, among: model.loraTargets, kind: "lora target")
        }
        model.addLora(lora, seed: settings.seed)
    }

    /// Where PEFT's users find the factors, beside the student that they are merged into.
    static let adapterDirectory = "adapter"

    /// Writes the factors as they are, where there are some, to `adapter/` of a directory.
    func writeAdapter(to place: URL) throws {
        guard let lora = settings.lora, let model = training.model as? TransformerModel else {
            return
        }
        let directory = place.appendingPathComponent(Self.adapterDirectory)
        try exportAdapter(model, lora, base: settings.student.from, to: directory)
    }
}
