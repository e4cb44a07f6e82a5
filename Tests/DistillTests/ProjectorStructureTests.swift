import Tensors
import Testing

@testable import Distill
@testable import Models

@Suite("Projector structures")
struct ProjectorStructureTests {
    private func structure(
        _ text: String,
        inputs: Int = 6,
        outputs: Int = 4
    ) throws -> ProjectorStructure {
        var settings = CriterionSettings()
        settings.projectors["t2s"] = text
        return try ProjectorStructure(
            "t2s",
            settings: settings,
            sizes: CriterionSizes(student: 4, teacher: 6),
            inputs: inputs,
            outputs: outputs
        )
    }

    @Test("sizes, multiples of widths and relu are read")
    func readings() throws {
        #expect(try structure("t-s").steps == [.linear(inputs: 6, outputs: 4)])
        #expect(
            try structure("t-2s-relu-s").steps
                == [.linear(inputs: 6, outputs: 8), .relu, .linear(inputs: 8, outputs: 4)]
        )
        #expect(
            try structure("6-10-4").steps
                == [.linear(inputs: 6, outputs: 10), .linear(inputs: 10, outputs: 4)]
        )
        #expect(
            try structure("2s-2t", inputs: 8, outputs: 12).steps
                == [.linear(inputs: 8, outputs: 12)]
        )
    }

    @Test(
        "what is no structure is refused, naming the setting",
        arguments: [
            "", "t", "s-t", "t-x-s", "t--s", "relu-t-s", "t-relu", "t-s-relu", "t-0s-s",
            "t-relu-relu-s",
            "t-99999999999999999999-s", "t-2000000s-s", "-t-s", "t-relu-s-relu",
        ]
    )
    func refused(text: String) throws {
        let error = #expect(throws: DistillError.self) { try structure(text) }
        #expect("\(try #require(error))".contains("projectors.t2s"))
    }

    @Test("gradients of a chain are slopes")
    func chain() throws {
        let projector = Projector(name: "t2s", structure: try structure("t-2s-relu-s"), seed: 3)
        #expect(
            projector.parameters.map(\.name)
                == ["t2s.0.weight", "t2s.0.bias", "t2s.2.weight", "t2s.2.bias"]
        )
        var random = RandomNumbers(seed: 8, purpose: "chain")
        let (x, d) = (Matrix(uninitialized: 5, 6), Matrix(uninitialized: 5, 4))
        x.fillNormal(deviation: 1, using: &random)
        d.fillNormal(deviation: 1, using: &random)
        func loss() -> Double {
            zip(projector.apply(x).out.values, d.values).reduce(0.0) {
                $0 + Double($1.0) * Double($1.1)
            }
        }
        let dX = Matrix(zeros: 5, 6)
        projector.backward(projector.apply(x), dOut: d, dX: dX)
        for (values, gradient) in projector.parameters.map({ ($0.value, $0.gradient?.values) })
            + [(x, dX.values)]
        {
            let (numeric, analytic) = try slope(
                of: loss,
                along: values,
                gradient: try required(gradient)
            )
            #expect(abs(numeric - analytic) < 2e-3 * max(1, abs(numeric)))
        }
    }
}
