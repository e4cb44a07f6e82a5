import Cache
import Foundation
import Models

/// The README.md of an exported student.
struct ModelCard {
    let settings: DistillSettings
    let cache: CacheManifest
    let steps: Int
    let heldOut: [String: Double]?

    var text: String {
        let description = cache.description
        var lines = [
            "---", "library_name: transformers", "tags:", "- distillation", "- retort", "---", "",
            "# A student of \(description.teacher.name)", "",
            "Trained by Retort with `\(settings.criterion)` for \(steps) steps from a cache of the "
                + "teacher's hidden states; the teacher itself was not run again.", "",
            "| | |", "|---|---|",
            "| teacher | \(description.teacher.name) (\(description.teacher.architecture)) |",
            "| started from | `\(settings.student.from)` |",
            "| data | \(description.dataset.name) |",
            "| prompt template | \(settings.template ?? description.template) |",
            "| divergence, temperature, KD rate | \(settings.divergence), \(settings.temperature), "
                + "\(settings.kdRate) |",
            "| learning rate, schedule | \(settings.learningRate), \(settings.schedule) |",
            "| seed | \(settings.seed) |",
        ]
        if let lora = settings.lora {
            let targets = lora.targets?.joined(separator: ", ") ?? "the usual maps"
            lines.append(
                "| low-rank factors, merged | rank \(lora.rank), alpha \(lora.alpha), \(targets) |"
            )
        }
        if settings.ema > 0 { lines.append("| weights averaged, decay | \(settings.ema) |") }
        for (name, value) in (heldOut ?? [:]).sorted(by: { $0.key < $1.key }) {
            lines.append("| held-out \(name) | \(String(format: "%.4f", value)) |")
        }
        lines += [
            "",
            "All settings are in `config.resolved.json` of the run. The licence of the teacher "
                + "and of the data may bind this model; see their cards.", "",
        ]
        return lines.joined(separator: "\n")
    }
}
