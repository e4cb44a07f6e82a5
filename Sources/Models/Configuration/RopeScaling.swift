/// How a model stretches its rotary positions: `rope_scaling` or `rope_parameters` of config.json.
public enum RopeScaling: Sendable, Equatable {
    /// Every frequency divided by the factor.
    case linear(factor: Float)
    /// Long waves slowed, short ones kept, the middle interpolated, as in Llama 3.1.
    case llama3(Llama3)
    /// YaRN (Peng and others 2023).
    case yarn(Yarn)
    /// A factor for each frequency (Ding and others 2024), as in Phi-3.
    case longRope(LongRope)

    /// The numbers of rope_type "llama3".
    public struct Llama3: Sendable, Equatable {
        /// `factor`.
        public var factor: Float = 8
        /// `low_freq_factor`.
        public var lowFrequencyFactor: Float = 1
        /// `high_freq_factor`.
        public var highFrequencyFactor: Float = 4
        /// `original_max_position_embeddings`.
        public var originalMaxPositions: Int = 8192

        /// The numbers of Llama 3.1, to be changed where a model has others.
        public init() {}
    }

    /// The numbers of rope_type "yarn".
    public struct Yarn: Sendable, Equatable {
        /// `factor`.
        public var factor: Float
        /// `original_max_position_embeddings`.
        public var originalMaxPositions: Int
        /// `attention_factor`: rotated queries and keys are multiplied by it; nil for
        /// 0.1 ln(factor) + 1.
        public var attentionFactor: Float?
        /// `beta_fast`: turns over the original positions above which a frequency is kept.
        public var betaFast: Float = 32
        /// `beta_slow`: turns below which a frequency is divided by the factor.
        public var betaSlow: Float = 1
        /// `mscale` and `mscale_all_dim`, which together give the attention factor when both are set.
        public var scale: Float?
        /// See `scale`.
        public var scaleAllDimensions: Float?
        /// `truncate`: whether the bounds of the ramp are rounded to whole channels.
        public var truncates = true

        /// YaRN with its usual bounds.
        public init(factor: Float, originalMaxPositions: Int) {
            self.factor = factor
            self.originalMaxPositions = originalMaxPositions
        }
    }

    /// The numbers of rope_type "longrope".
    public struct LongRope: Sendable, Equatable {
        /// `short_factor`: what each frequency is divided by in sequences of at most
        /// `originalMaxPositions` tokens (rotarySize / 2 of them).
        public var shortFactors: [Float]
        /// `long_factor`: the same for longer sequences.
        public var longFactors: [Float]
        /// `original_max_position_embeddings`.
        public var originalMaxPositions: Int
        /// `attention_factor`; nil for sqrt(1 + ln(factor) / ln(originalMaxPositions)).
        public var attentionFactor: Float?
        /// `factor`; nil for maxPositions / originalMaxPositions.
        public var factor: Float?

        /// Long rotary positions with the usual attention factor.
        public init(shortFactors: [Float], longFactors: [Float], originalMaxPositions: Int) {
            self.shortFactors = shortFactors
            self.longFactors = longFactors
            self.originalMaxPositions = originalMaxPositions
        }
    }
}
