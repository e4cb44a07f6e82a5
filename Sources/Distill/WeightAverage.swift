import Models
import Tensors

/// An exponential moving average of trained weights, in float32.
///
/// After step t it is (1 - r) times what it was plus r times the weights, with
/// r = (1 - decay) / (1 - decay^t): the average corrected for its empty start, as Adam corrects its
/// moments. After the first step it is the weights themselves; the values before that step have no part
/// in it.
final class WeightAverage {
    /// A parameter's own values and their average, of one shape.
    struct Entry {
        let parameter: Parameter
        let average: Matrix
    }

    let decay: Double
    let entries: [Entry]

    /// Starts at the parameters' values.
    init(_ parameters: [Parameter], decay: Double) {
        self.decay = decay
        entries = parameters.map { Entry(parameter: $0, average: $0.value.copied()) }
    }

    /// Takes the weights of a step in.
    ///
    /// - Parameter step: Steps applied so far, this one among them, from 1.
    func update(step: Int) {
        let rate = Float((1 - decay) / max(1 - decay, 1 - decay.raised(to: step)))
        for entry in entries {
            nonisolated(unsafe) let (average, value) = (
                entry.average.base, entry.parameter.value.base
            )
            parallelRanges(entry.average.count, minimum: 1 << 15) { range, _ in
                for i in range { average[i] += rate * (value[i] - average[i]) }
            }
        }
    }

    /// Puts the averages where the weights are and the weights where the averages were; twice is nothing.
    func exchange() {
        for entry in entries {
            nonisolated(unsafe) let (average, value) = (
                entry.average.base, entry.parameter.value.base
            )
            parallelRanges(entry.average.count, minimum: 1 << 15) { range, _ in
                for i in range { (average[i], value[i]) = (value[i], average[i]) }
            }
        }
    }
}
