/// What a name in `losses` and `held_out` stands for.
enum LossPart {
    /// How a part's curve is headed.
    static func title(_ part: String) -> String {
        switch part {
        case "total": "Total loss"
        case "ce": "Cross-entropy (ce)"
        case "kd": "Distillation (kd)"
        case "rouge_l": "ROUGE-L of held-out answers"
        default: part
        }
    }

    /// What its axis counts.
    static func unit(_ part: String) -> String {
        isLoss(part) ? "loss, nats a token" : part == "rouge_l" ? "F1, 0 to 1" : "mean over tokens"
    }

    /// Whether it is a loss, of which less is better; others tell how one comes about.
    static func isLoss(_ part: String) -> Bool {
        part == "total" || ["ce", "kd"].contains { part == $0 || part.hasSuffix("_" + $0) }
    }

    /// What it is, where the name does not say it.
    static func meaning(_ part: String) -> String {
        switch part {
        case "total": "What is trained on: cross-entropy and distillation, weighed by kd_rate."
        case "ce": "Cross-entropy of the reference answer under the student."
        case "kd": "All of what the criterion adds to the cross-entropy."
        case "t2s_gate": "The share of tokens at which t2s_kd counts."
        case "t2s_accuracy": "How often the projected teacher predicts the reference."
        case "t2s_top_probability": "Of the projected teacher's most likely token."
        case _ where part.hasPrefix("t2s_ce"):
            "The reference answer under the teacher's states, projected into the student's space."
        case _ where part.hasPrefix("t2s_kd"):
            "From the teacher's projected states to the student, both through the student's head."
        case _ where part.hasPrefix("s2t_kd"):
            "From the teacher to the student's projected states, both through the teacher's head."
        default: ""
        }
    }
}
