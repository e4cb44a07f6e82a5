import Cache
import Distill
import Extract
import Foundation
import Models
import Ranks
import Report
import Scores
import Tokenizers

/// An error as the command line reports it: words for a person and a code for a script.
struct Failure: Error {
    let message: String
    let code: Int32

    /// The codes of sysexits.h that scripts and schedulers know.
    enum Code {
        static let failed: Int32 = 1
        static let usage: Int32 = 64
        static let badData: Int32 = 65
        static let missing: Int32 = 66
        static let outputExists: Int32 = 73
        static let inputOutput: Int32 = 74
        static let stopped: Int32 = 75
    }

    init(_ message: String, code: Int32) {
        self.message = message
        self.code = code
    }

    /// Nil for the argument parser's own errors.
    init?(_ error: any Error) {
        switch error {
        case let failure as Failure:
            self = failure
        case let error as ConfigurationError:
            self.init(error.description, code: Code.usage)
        case let error as ExtractError:
            self.init(error.description, code: Self.code(error.kind))
        case let error as ModelError:
            self.init(error.description, code: Self.code(error.kind))
        case let error as CacheError:
            self.init(error.description, code: Self.code(error.kind))
        case let error as TokenizerError:
            self.init(error.description, code: Self.code(error))
        case let error as DistillError:
            self.init(error.description, code: Self.code(error))
        case let error as ScoreError:
            self.init(
                error.description,
                code: error.kind == .missing ? Code.missing : Code.badData
            )
        case let error as RanksError:
            self.init(error.description, code: Self.code(error))
        case let error as ReportError:
            self.init(error.description, code: Self.code(error))
        case let error as SimulationError:
            self.init(error.description, code: Self.code(error))
        case let error as CocoaError:
            let place = error.filePath ?? error.url?.path ?? "file"
            let missing = error.code == .fileReadNoSuchFile || error.code == .fileNoSuchFile
            self.init(
                "\(place): \(error.localizedDescription)",
                code: missing ? Code.missing : Code.inputOutput
            )
        case let error as NSError
        where error.domain == NSCocoaErrorDomain || error.domain == NSPOSIXErrorDomain:
            self.init(error.localizedDescription, code: Code.inputOutput)
        default:
            return nil
        }
    }

    private static func code(_ error: ReportError) -> Int32 {
        switch error {
        case .missing, .noRun: Code.missing
        case .noDirectory, .unreadable: Code.badData
        }
    }

    private static func code(_ kind: ExtractError.Kind) -> Int32 {
        switch kind {
        case .missing: Code.missing
        case .badData: Code.badData
        case .badSetting: Code.usage
        case .outputExists: Code.outputExists
        case .stopped: Code.stopped
        }
    }

    private static func code(_ kind: ModelError.Kind) -> Int32 {
        switch kind {
        case .missing: Code.missing
        case .io: Code.inputOutput
        case .corrupt, .unsupported, .mismatch: Code.badData
        }
    }

    private static func code(_ kind: CacheError.Kind) -> Int32 {
        switch kind {
        case .missing: Code.missing
        case .diskFull, .io: Code.inputOutput
        case .corrupt, .mismatch, .unsupported: Code.badData
        }
    }

    private static func code(_ error: DistillError) -> Int32 {
        switch error {
        case .badSetting, .unknownName: Code.usage
        case .file, .noSpace: Code.inputOutput
        case .differentRun, .outputTaken: Code.outputExists
        case .diverged: Code.failed
        default: Code.badData
        }
    }

    private static func code(_ error: RanksError) -> Int32 {
        switch error {
        case .notBuilt, .separate: Code.usage
        case .cannotStart: Code.failed
        }
    }

    private static func code(_ error: SimulationError) -> Int32 {
        switch error {
        case .badSetting: Code.usage
        case .diverged: Code.failed
        }
    }

    private static func code(_ error: TokenizerError) -> Int32 {
        switch error {
        case .unreadable: Code.missing
        case .unwritable: Code.inputOutput
        case .unknownName, .noTemplate: Code.usage
        case .malformed, .unsupported, .badPattern, .matchLimit, .training, .templateMisfit:
            Code.badData
        }
    }
}
