/// Useful arithmetic a second of what training and extraction spend their time on, each also as a share
/// of a plain float32 product measured in the same run: on a noisy machine the shares are what to compare.
///
///     make bench
import Foundation
import Models
import Tensors

Threads.waitBriefly()

if CommandLine.arguments.dropFirst().first == "extract" {
    try serveExtraction(Array(CommandLine.arguments.dropFirst(2)))
    exit(0)
}
if CommandLine.arguments.dropFirst().first == "cache" {
    try serveCache(Array(CommandLine.arguments.dropFirst(2)))
    exit(0)
}
if CommandLine.arguments.dropFirst().first == "criteria" {
    try serveCriteria(Array(CommandLine.arguments.dropFirst(2)))
    exit(0)
}

if CommandLine.arguments.dropFirst().first == "train" {
    try serveTraining(Array(CommandLine.arguments.dropFirst(2)))
    exit(0)
}

/// The best of a few runs, in seconds.
func seconds(_ runs: Int = 5, _ body: () -> Void) -> Double {
    body()
    var best = Double.infinity
    for _ in 0..<runs {
        let start = Date()
        body()
        best = min(best, Date().timeIntervalSince(start))
    }
    return best
}

func randomMatrix(_ rows: Int, _ columns: Int) -> Matrix {
    var random = RandomNumbers(seed: 1, purpose: "\(rows) x \(columns)")
    let matrix = Matrix(uninitialized: rows, columns)
    matrix.fillNormal(deviation: 0.05, using: &random)
    return matrix
}

let size = 1_536
let (a, b) = (randomMatrix(size, size), randomMatrix(size, size))
let product = Matrix(zeros: size, size)
let plain = 2 * pow(Double(size), 3) / seconds { multiply(a, b, into: product) }

func show(_ name: String, operations: Double, seconds: Double) {
    let rate = operations / seconds
    let text = String(
        format: "%@ %7.1f GFLOP/s %5.0f %% of the plain product",
        name.padding(
            toLength: 44,
            withPad: " ",
            startingAt: 0
        ),
        rate / 1e9,
        100 * rate / plain
    )
    print(text)
}

show("plain product, \(size) cubed, f32", operations: plain, seconds: 1)

// A teacher's head over one chunk of rows, as extraction and the losses do it.
let (rows, width, vocabulary) = (256, 576, 49_152)
let head = randomMatrix(vocabulary, width)
let hidden = randomMatrix(rows, width)
let logits = Matrix(zeros: rows, vocabulary)
let headWork = 2 * Double(rows * width * vocabulary)
for compute in ComputeType.allCases {
    let packed = PackedWeights(head, compute: compute)
    show(
        "head, \(rows) rows, V \(vocabulary), \(compute.rawValue)",
        operations: headWork,
        seconds: seconds { packed.multiply(hidden, into: logits) }
    )
}

// The quick start's student, one micro-batch of 16 sequences.
let model = try TransformerModel.random(
    .gpt2(hiddenSize: 384, layerCount: 5, headCount: 6, vocabularySize: 8_192, maxPositions: 512),
    seed: 1
)
for parameter in model.parameters { parameter.prepareGradient() }
model.prepareTraining(.f32)
let batch = VarlenBatch(
    (0..<16).map { sequence in (0..<93).map { UInt32((sequence * 31 + $0 * 17) % 8_192) } }
)
let blockWeights = model.parameters.filter {
    $0.shape.count == 2 && $0 !== model.inputEmbedding && !$0.name.hasSuffix("wpe.weight")
}.reduce(0) { $0 + $1.value.count }
let forwardWork = 2 * Double(blockWeights * batch.tokenCount)
show(
    "GPT-2 student, forward, \(batch.tokenCount) tokens",
    operations: forwardWork,
    seconds: seconds { _ = model.hiddenStates(batch, tape: nil) }
)
let gradient = randomMatrix(batch.tokenCount, 384)
show(
    "GPT-2 student, forward and backward",
    operations: 3 * forwardWork,
    seconds: seconds {
        let tape = Tape()
        _ = model.hiddenStates(batch, tape: tape)
        model.backward(gradient.copied(), tape: tape)
    }
)
