import Foundation
import Models
import Tensors

/// Everything that decides a distillation run, under the keys of a pipeline's `distill:` stage.
public struct DistillSettings: Codable, Sendable, Equatable {
    /// Where the student starts from.
    public struct Student: Codable, Sendable, Equatable {
        /// A Hugging Face directory, such as `retort model new` or `retort model prune` makes.
        public var from: String

        /// A student that starts from a directory.
        public init(from: String) { self.from = from }
    }

    /// How the learning rates change over the run, after the warm-up.
    public enum Schedule: String, Codable, Sendable, CaseIterable {
        /// Half a cosine down to the floor.
        case cosine
        /// A straight line down to the floor.
        case linear
        /// No change.
        case constant
        /// No change until the last `decay_steps`, and over those a straight line down to the floor:
        /// warm-up, stable, decay (MiniCPM, arXiv 2404.06395).
        case wsd
    }

    /// What makes one student better than another.
    public enum BestBy: String, Codable, Sendable, CaseIterable {
        /// The lower `total` over the held-out split.
        case loss
        /// The higher mean ROUGE-L F1 of its answers to held-out prompts.
        case rougeL = "rouge_l"
    }

    /// Which weights a finished run exports.
    public enum Export: String, Codable, Sendable, CaseIterable {
        /// Those after the last step.
        case last
        /// The best by `best_by` of those that were evaluated.
        case best
    }

    /// The directory of a cache.
    public var cache: String
    /// The JSON Lines file that the cache was made from, to be sure of that; nothing of it is read but its
    /// checksum.
    public var dataset: String?
    /// Whether the shards that are finished will do while an extraction still runs.
    public var unfinishedCache = false
    /// Bytes of examples read ahead, in MiB; changes neither order nor numbers.
    public var loaderMemoryMiB = 512
    /// Examples that are shuffled among each other; nil takes as many as are 256 MiB, 256 to 4,096.
    public var shuffleWindow: Int?
    /// The run's directory: metrics, checkpoints, the student.
    public var output: String
    /// Where the student starts from.
    public var student: Student
    /// A name of `CriterionRegistry`.
    public var criterion = "dskd_cma"
    /// Share of the teacher's losses in the total.
    public var kdRate: Float = 0.5
    /// tau of the divergences.
    public var temperature: Float = 2
    /// Divides the projected teacher's logits besides tau (`dskd_cma`).
    public var teacherTemperature: Float = 1
    /// A name of `Divergence`.
    public var divergence = Divergence.forwardKL.rawValue
    /// Whether divergences are multiplied by tau^2.
    public var temperatureSquared = false
    /// Share of the label's mass that the student's cross-entropy spreads over all tokens.
    public var labelSmoothing: Float = 0
    /// A name of `TeacherSignal`: where the teacher's distribution comes from.
    public var teacherSignal = TeacherSignal.exact.rawValue
    /// A name of `TopKTail`: what becomes of the tokens beyond a stored top-k.
    public var topKTail = TopKTail.ghost.rawValue
    /// Structures of projectors by name, such as `t2s: t-2s-relu-s`; a linear map where there is none.
    public var projectors: [String: String] = [:]
    /// A safetensors file with the projectors' first values, such as the `projectors.safetensors` that a
    /// run leaves; nil draws them.
    public var projectorsFrom: String?
    /// The first so many of the tokens that both vocabularies hold (`dskd_v2`); nil for all.
    public var topVocabulary: Int?
    /// Up to this share of agreeing positions, t2s_kd counts at those alone (`dskd_v2`).
    public var agreement: Float = 1
    /// Pairs of layers, `student:teacher`, that `hidden_mse` and `hidden_cosine` compare.
    public var layers = ["final:final"]
    /// Optimiser steps; nil to count epochs instead.
    public var steps: Int?
    /// Passes over the data; nil where `steps` says how long.
    public var epochs: Int?
    /// Examples of one micro-batch.
    public var batchExamples = 32
    /// Instead of `batch_examples`: as many examples as have so many of the teacher's tokens together, one
    /// at least.
    public var batchTokens: Int?
    /// Micro-batches of one optimiser step; changes memory, not numbers.
    public var accumulate = 1
    /// The student runs over whole examples of up to so many tokens at a time, which decides how much memory
    /// their way back takes; a longer example is run by itself.
    public var passTokens = 1_024
    /// Keeps the input of each block alone and runs the block again on the way back: less memory, more time,
    /// the same bits.
    public var gradientCheckpointing = false
    /// Low-rank factors that are trained in the place of the student's weights; nil trains the weights.
    public var lora: LoraOptions?
    /// The share of the embedding's output, and of what each layer adds, that is set to 0 in training.
    public var dropout: Float = 0
    /// The share of attention's probabilities that is set to 0 in training.
    public var attentionDropout: Float = 0
    /// Of the student, at its highest.
    public var learningRate: Float = 5e-4
    /// Of the projectors, at its highest.
    public var projectorLearningRate: Float = 1e-3
    /// Steps over which the rates rise from zero.
    public var warmupSteps = 20
    /// What happens to the rates after that.
    public var schedule = Schedule.cosine.rawValue
    /// The share of the highest rate that the schedule ends at.
    public var learningRateFloor: Float = 0
    /// Steps of the decay of `wsd`; nil for a tenth of the run.
    public var decaySteps: Int?
    /// Of weights, not of biases and norms.
    public var weightDecay: Float = 0.01
    /// The largest global norm of a step's gradient, student and projectors together.
    public var clip: Float = 1
    /// Decay of the weights' moving average, which then is what is evaluated and exported; 0 keeps none.
    public var ema = 0.0
    /// Steps in a row that may be skipped; after so many the run ends.
    public var skipPatience = 10
    /// A step whose total loss is above so many times the median of the last ones is skipped; 0 skips
    /// none for that.
    public var spikeFactor = 5.0
    /// Of the projectors' first values and of the order of the data.
    public var seed: UInt64 = 1
    /// Precision of the products of matrices; weights, gradients and moments are float32 in both.
    public var compute = ComputeType.f32
    /// Tokens of an example, prompt and response, at most.
    public var maxLength = 512
    /// Tokens of its prompt at most.
    public var maxPromptLength = 256
    /// The prompt template; nil takes the cache's.
    public var template: String?
    /// The split to train on, and the one whose loss is reported.
    public var split = "train"
    /// See `split`.
    public var heldOutSplit = "held_out"
    /// Steps between checkpoints; 0 writes none but at a stop.
    public var checkpointEvery = 200
    /// Checkpoints kept, the newest.
    public var keepCheckpoints = 2
    /// Steps between held-out losses; 0 for the end alone.
    public var evalEvery = 0
    /// Held-out examples whose prompts are answered at each evaluation, for ROUGE-L; 0 for none.
    public var evalGenerate = 0
    /// Tokens of an answer at most, in evaluations and samples; the choice is greedy.
    public var maxNewTokens = 128
    /// Students kept in `checkpoints/best-…`, the best of those that were evaluated; 0 keeps none.
    public var keepBest = 0
    /// A name of `BestBy`.
    public var bestBy = BestBy.loss.rawValue
    /// A name of `Export`: what `student/` becomes.
    public var export = Export.last.rawValue
    /// Steps between samples of the student's answers; 0 for none.
    public var sampleEvery = 0
    /// What the samples answer; the first four held-out prompts where there is none.
    public var samplePrompts: [String] = []
    /// Whether the figures are written for TensorBoard, too.
    public var tensorboard = true
    /// Memory for one chunk of logits.
    public var headMemoryMiB = 64

    /// The keys of the settings file.
    public enum CodingKeys: String, CodingKey, CaseIterable {
        /// One for each property, in snake case.
        case cache, output, student, criterion, temperature, divergence, steps, epochs, accumulate
        /// See `cache`.
        case schedule, clip, seed, compute, template, split, projectors, layers, ema, export, lora
        /// See `cache`.
        case dropout
        /// See `cache`.
        case attentionDropout = "attention_dropout"
        /// See `cache`.
        case passTokens = "pass_tokens"
        /// See `cache`.
        case gradientCheckpointing = "gradient_checkpointing"
        /// See `cache`.
        case tensorboard, dataset
        /// See `cache`.
        case unfinishedCache = "unfinished_cache"
        /// See `cache`.
        case loaderMemoryMiB = "loader_memory_mib"
        /// See `cache`.
        case shuffleWindow = "shuffle_window"
        /// See `cache`.
        case kdRate = "kd_rate"
        /// See `cache`.
        case teacherTemperature = "teacher_temperature"
        /// See `cache`.
        case temperatureSquared = "temperature_squared"
        /// See `cache`.
        case labelSmoothing = "label_smoothing"
        /// See `cache`.
        case teacherSignal = "teacher_signal"
        /// See `cache`.
        case topKTail = "topk_tail"
        /// See `cache`.
        case projectorsFrom = "projectors_from"
        /// See `cache`.
        case topVocabulary = "topk_vocab"
        /// See `cache`.
        case agreement = "t2s_agreement"
        /// See `cache`.
        case batchExamples = "batch_examples"
        /// See `cache`.
        case batchTokens = "batch_tokens"
        /// See `cache`.
        case learningRate = "learning_rate"
        /// See `cache`.
        case projectorLearningRate = "projector_learning_rate"
        /// See `cache`.
        case warmupSteps = "warmup_steps"
        /// See `cache`.
        case learningRateFloor = "learning_rate_floor"
        /// See `cache`.
        case decaySteps = "decay_steps"
        /// See `cache`.
        case weightDecay = "weight_decay"
        /// See `cache`.
        case skipPatience = "skip_patience"
        /// See `cache`.
        case spikeFactor = "spike_factor"
        /// See `cache`.
        case maxLength = "max_length"
        /// See `cache`.
        case maxPromptLength = "max_prompt_length"
        /// See `cache`.
        case heldOutSplit = "held_out_split"
        /// See `cache`.
        case checkpointEvery = "checkpoint_every"
        /// See `cache`.
        case keepCheckpoints = "keep_checkpoints"
        /// See `cache`.
        case evalEvery = "eval_every"
        /// See `cache`.
        case evalGenerate = "eval_generate"
        /// See `cache`.
        case maxNewTokens = "max_new_tokens"
        /// See `cache`.
        case keepBest = "keep_best"
        /// See `cache`.
        case bestBy = "best_by"
        /// See `cache`.
        case sampleEvery = "sample_every"
        /// See `cache`.
        case samplePrompts = "sample_prompts"
        /// See `cache`.
        case headMemoryMiB = "head_memory_mib"
    }

    /// The three things that have no default; everything else can be set afterwards.
    public init(cache: String, output: String, student: String) {
        self.cache = cache
        self.output = output
        self.student = Student(from: student)
    }

    /// Keys that are not there keep their defaults.
    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        cache = try c.decode(String.self, forKey: .cache)
        output = try c.decode(String.self, forKey: .output)
        student = try c.decode(Student.self, forKey: .student)
        func set<T: Decodable>(_ key: CodingKeys, _ value: inout T) throws {
            value = try c.decodeIfPresent(T.self, forKey: key) ?? value
        }
        dataset = try c.decodeIfPresent(String.self, forKey: .dataset)
        try set(.unfinishedCache, &unfinishedCache)
        try set(.loaderMemoryMiB, &loaderMemoryMiB)
        shuffleWindow = try c.decodeIfPresent(Int.self, forKey: .shuffleWindow)
        try set(.criterion, &criterion)
        try set(.kdRate, &kdRate)
        try set(.temperature, &temperature)
        try set(.teacherTemperature, &teacherTemperature)
        try set(.divergence, &divergence)
        try set(.temperatureSquared, &temperatureSquared)
        try set(.labelSmoothing, &labelSmoothing)
        try set(.teacherSignal, &teacherSignal)
        try set(.topKTail, &topKTail)
        try set(.projectors, &projectors)
        projectorsFrom = try c.decodeIfPresent(String.self, forKey: .projectorsFrom)
        topVocabulary = try c.decodeIfPresent(Int.self, forKey: .topVocabulary)
        try set(.agreement, &agreement)
        try set(.layers, &layers)
        steps = try c.decodeIfPresent(Int.self, forKey: .steps)
        epochs = try c.decodeIfPresent(Int.self, forKey: .epochs)
        try set(.batchExamples, &batchExamples)
        batchTokens = try c.decodeIfPresent(Int.self, forKey: .batchTokens)
        try set(.accumulate, &accumulate)
        try set(.learningRate, &learningRate)
        try set(.projectorLearningRate, &projectorLearningRate)
        try set(.warmupSteps, &warmupSteps)
        try set(.schedule, &schedule)
        try set(.learningRateFloor, &learningRateFloor)
        decaySteps = try c.decodeIfPresent(Int.self, forKey: .decaySteps)
        try set(.weightDecay, &weightDecay)
        try set(.clip, &clip)
        try set(.ema, &ema)
        try set(.passTokens, &passTokens)
        try set(.gradientCheckpointing, &gradientCheckpointing)
        lora = try c.decodeIfPresent(LoraOptions.self, forKey: .lora)
        try set(.dropout, &dropout)
        try set(.attentionDropout, &attentionDropout)
        try set(.skipPatience, &skipPatience)
        try set(.spikeFactor, &spikeFactor)
        try set(.seed, &seed)
        try set(.compute, &compute)
        try set(.maxLength, &maxLength)
        try set(.maxPromptLength, &maxPromptLength)
        template = try c.decodeIfPresent(String.self, forKey: .template)
        try set(.split, &split)
        try set(.heldOutSplit, &heldOutSplit)
        try set(.checkpointEvery, &checkpointEvery)
        try set(.keepCheckpoints, &keepCheckpoints)
        try set(.evalEvery, &evalEvery)
        try set(.evalGenerate, &evalGenerate)
        try set(.maxNewTokens, &maxNewTokens)
        try set(.keepBest, &keepBest)
        try set(.bestBy, &bestBy)
        try set(.export, &export)
        try set(.sampleEvery, &sampleEvery)
        try set(.samplePrompts, &samplePrompts)
        try set(.tensorboard, &tensorboard)
        try set(.headMemoryMiB, &headMemoryMiB)
    }
}
