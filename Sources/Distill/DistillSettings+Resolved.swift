import Foundation

extension DistillSettings {
    /// What a run was trained with, all filled in, by its own file; nil where there is none that can be read.
    public static func resolved(in run: URL) -> DistillSettings? {
        let file = run.appendingPathComponent(Trainer.settingsFile)
        guard let data = RunFiles.read(file, limit: 1 << 20) else { return nil }
        return try? JSONDecoder().decode(DistillSettings.self, from: data)
    }

    /// The same of the run that a student was exported by; nil for a model from elsewhere.
    public static func resolved(ofStudentAt path: String) -> DistillSettings? {
        let student = URL(fileURLWithPath: path).standardizedFileURL
        guard student.lastPathComponent == "student" else { return nil }
        return resolved(in: student.deletingLastPathComponent())
    }
}
