import ArgumentParser
import Cache
import Foundation

extension CacheCommand {
    /// The page that tells others what a cache is.
    struct Card: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the README.md of a cache, as Hugging Face shows it for a data set.",
            discussion: """
                It is printed, or written to --output. --write replaces README.md in the cache and its \
                SHA-256 in manifest.json; a stop between the two harms nothing, and the same command \
                mends it. The manifest's checksum changes with it, and a student's run that was begun \
                with the cache as it was before is refused as one of another cache: write the card \
                first, then train.

                Examples:
                  retort cache card runs/quickstart/cache --license cc-by-4.0 --language en
                  retort cache card runs/quickstart/cache --license apache-2.0 --write
                """
        )

        @Argument(help: "The cache directory.")
        var cache: String

        @Option(
            help: """
                The licence under which you pass the cache on: an id of Hugging Face's (apache-2.0) or \
                another name. Left out: unknown.
                """
        )
        var license: String?

        @Option(help: "A language of the texts, such as en or pt-BR; may be given several times.")
        var language: [String] = []

        @Option(help: "A title for people.")
        var name: String?

        @Option(help: "The file to write; - prints.")
        var output = "-"

        @Flag(help: "Replace README.md in the cache, and its entry in manifest.json.")
        var write = false

        @Flag(help: "Write over an output that is there.")
        var replace = false

        @Flag(name: .customLong("json"), help: "Print JSON: the card's text, or what was written.")
        var isJSON = false

        func validate() throws {
            if let license, License(license) == nil {
                throw ValidationError("--license '\(license)': give a name on one line.")
            }
            if let odd = language.first(where: { !CacheCard.Words.isLanguage($0) }) {
                throw ValidationError("--language '\(odd)': give a code such as en, de or pt-BR.")
            }
            guard !write || output == "-" else {
                throw ValidationError("--write writes into the cache: leave out --output.")
            }
        }

        /// What `--json` prints.
        private struct Result: Encodable {
            /// The file written.
            var path: String?
            /// The card, unless it was written.
            var card: String?
            /// The manifest's checksum, where it was replaced.
            var checksum: String?
        }

        func run() throws {
            let url = URL(fileURLWithPath: cache)
            let words = CacheCard.Words(
                license: license.flatMap { License($0) },
                languages: language,
                name: name
            )
            if write {
                let manifest = try CacheCard.write(words, to: url)
                let path = url.appendingPathComponent("README.md").path
                Console.say("\(path) written, manifest.json has its SHA-256")
                if isJSON {
                    let result = Result(path: path, checksum: manifest.checksum)
                    Console.print(DisplayText.json(try jsonText(result)))
                }
                return
            }
            let text = CacheCard(try CacheReader(directory: url).manifest, words).text
            guard output == "-" else {
                try CacheCommand.refuse(output, inside: cache)
                try OutputFile.check(output, replace: replace)
                try CacheCard.save(text, to: URL(fileURLWithPath: output))
                Console.say("\(output) written")
                if isJSON { Console.print(DisplayText.json(try jsonText(Result(path: output)))) }
                return
            }
            if isJSON {
                Console.print(DisplayText.json(try jsonText(Result(card: text))))
            } else {
                Console.print(Data(text.utf8))
            }
        }
    }
}
