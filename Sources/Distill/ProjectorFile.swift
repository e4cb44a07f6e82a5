import Foundation
import Models
import Tensors

/// First values of projectors from a file, such as the `projectors.safetensors` that a run leaves.
enum ProjectorFile {
    private static let remedy =
        "Give the file of a run with this criterion, these projectors and "
        + "models of these widths, or leave projectors_from out."

    /// Puts the file's values in place of those that were drawn.
    ///
    /// The file holds these parameters, under their names and in their shapes, and nothing else.
    ///
    /// - Parameters:
    ///   - path: A safetensors file of floats.
    ///   - criterion: Its name, for messages.
    /// - Throws: `DistillError.badSetting` where the criterion has no projectors, `ModelError` for a file
    ///   that is missing, damaged, or not one of these projectors; they are then as they were.
    static func load(_ path: String, into projectors: [Projector], criterion: String) throws {
        let parameters = projectors.flatMap(\.parameters)
        guard !parameters.isEmpty else {
            throw DistillError.badSetting(
                key: DistillSettings.CodingKeys.projectorsFrom.rawValue,
                value: "a file with \(criterion)",
                remedy: "that criterion has no projectors; leave it out"
            )
        }
        let file = try SafetensorsFile(path: path)
        try requireNames(of: parameters, in: file, criterion: criterion)
        let values = try parameters.map { try floats(of: $0, in: file) }
        for (parameter, values) in zip(parameters, values) {
            parameter.value.base.update(from: values, count: values.count)
        }
    }

    private static func requireNames(
        of parameters: [Parameter],
        in file: SafetensorsFile,
        criterion: String
    ) throws {
        let (wanted, found) = (Set(parameters.map(\.name)), Set(file.tensorNames))
        guard wanted != found else { return }
        func list(_ names: Set<String>) -> String {
            let sorted = names.sorted()
            let more = sorted.count > 8 ? ", and \(sorted.count - 8) more" : ""
            return sorted.prefix(8).map { "\"\($0)\"" }.joined(separator: ", ") + more
        }
        let (missing, unknown) = (wanted.subtracting(found), found.subtracting(wanted))
        let parts = [
            missing.isEmpty ? nil : "missing \(list(missing))",
            unknown.isEmpty ? nil : "unknown \(list(unknown))",
        ]
        throw ModelError(
            .mismatch,
            path: file.path,
            "not the projectors of \(criterion): tensors "
                + parts.compactMap { $0 }.joined(separator: "; "),
            remedy: remedy
        )
    }

    private static func floats(of parameter: Parameter, in file: SafetensorsFile) throws -> [Float]
    {
        func refuse(_ reason: String) -> ModelError {
            let message = "tensor \"\(parameter.name)\": \(reason)"
            return ModelError(.mismatch, path: file.path, message, remedy: remedy)
        }
        let info = try file.requiredInfo(parameter.name)
        guard info.shape == parameter.shape else {
            throw refuse("expected shape \(parameter.shape), found \(info.shape)")
        }
        let values = try file.floats(parameter.name, expecting: parameter.shape)
        if let index = values.firstIndex(where: { !$0.isFinite }) {
            throw refuse("element \(index) is \(values[index])")
        }
        return values
    }
}
