import Foundation

/// How figures are told, on pages and in terminals.
enum RunWords {
    /// A number that may be a stranger's, or a diverged model's.
    static func number(_ value: Double, digits: Int) -> String {
        String(format: abs(value) < 1e9 ? "%.\(digits)f" : "%.1e", value)
    }

    /// Hours, minutes and seconds.
    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e9 else { return "–" }
        let whole = Int(max(0, seconds).rounded())
        return String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
    }
}
