import Foundation
import Testing

@testable import Cache

@Suite("The card of a cache")
struct CardTests {
    private let sample = SampleCache()

    private func manifest(_ directory: URL) throws -> CacheManifest {
        try sample.write(to: directory)
        return try CacheManifest.read(directory)
    }

    @Test("has front matter, and the same text every time, whatever the manifest says of it")
    func text() throws {
        let scratch = try Scratch()
        var manifest = try manifest(scratch.url)
        let words = CacheCard.Words(
            license: License("Apache-2.0"),
            languages: ["en", "pt-BR"],
            name: "A \"title\""
        )
        let text = CacheCard(manifest, words).text
        #expect(text.hasPrefix("---\nlicense: apache-2.0\nlanguage:\n- \"en\"\n- \"pt-BR\"\n"))
        for part in [
            "\npretty_name: \"A \\\"title\\\"\"\n", "\nsize_categories:\n- n<1K\n",
            "\nsource_datasets:\n- \"data.jsonl\"\n", "\n- text-generation\n", "\n---\n\n# A ",
            "| `held_out` | 2 |", "hidden/final", "import hdf5plugin",
            "passed on under `apache-2.0`",
        ] {
            #expect(text.contains(part), "\(part)")
        }
        manifest.readme.sha256 = "x"
        manifest.checksum = "y"
        #expect(CacheCard(manifest, words).text == text)
        let plain = CacheCard(manifest).text
        #expect(plain.hasPrefix("---\nlicense: unknown\npretty_name:"))
        #expect(plain.contains("No licence was named"))
    }

    @Test("names of files stay strings, whatever they are made of")
    func quoting() throws {
        #expect(YAML.quoted("a: \"b\" \\ #c") == #""a: \"b\" \\ #c""#)
        #expect(YAML.quoted("x\n---\ny\u{202E}\u{FEFF}") == #""x\u000a---\u000ay\u202e\ufeff""#)
        #expect(YAML.quoted("\u{E0041}🙂é") == #""\U000e0041🙂é""#)
        #expect(Markdown.code("a`b``c|d") == "``` a`b``c\\|d ```")
        #expect(Markdown.code("") == "–")
        #expect(Markdown.text("<b>[x](y)\n") == "\\<b\\>\\[x\\](y)\\\\n")
        let scratch = try Scratch()
        var manifest = try manifest(scratch.url)
        manifest.description.dataset.name = "a\n---\nb: `<script>` | \u{1B}.jsonl"
        let text = CacheCard(manifest).text
        #expect(text.components(separatedBy: "\n---\n").count == 2)
        #expect(!text.contains("\u{1B}"))
    }

    @Test("licences that the hub does not know go by name")
    func licenses() {
        #expect(License(" MIT ") == .known("mit"))
        #expect(License("Our terms") == .other("Our terms"))
        #expect(License("  ") == nil && License("a\nb") == nil)
        #expect(CacheCard.Words.isLanguage("en") && CacheCard.Words.isLanguage("zh-Hant-TW"))
        #expect(!CacheCard.Words.isLanguage("English") && !CacheCard.Words.isLanguage(""))
        #expect(
            CacheCard.sizeCategory(999) == "n<1K" && CacheCard.sizeCategory(1_000) == "1K<n<10K"
        )
        #expect(CacheCard.sizeCategory(123_456) == "100K<n<1M")
    }

    @Test("written into a cache it is listed, and outlives a second run of the extraction")
    func written() throws {
        let scratch = try Scratch()
        let before = try manifest(scratch.url)
        let words = CacheCard.Words(license: License("cc-by-4.0"))
        let after = try CacheCard.write(words, to: scratch.url)
        #expect(after.readme != before.readme && after.checksum != before.checksum)
        #expect(try after.contentSHA256() == before.contentSHA256())
        #expect(try CacheVerifier().verify(scratch.url).isWhole)
        let files = try contents(of: scratch.url)
        #expect(try CacheCard.write(words, to: scratch.url) == after)
        try sample.write(to: scratch.url)
        #expect(try contents(of: scratch.url) == files)
        // A card that is damaged is nobody's words any more.
        try Data("x".utf8).write(to: scratch.url.appendingPathComponent("README.md"))
        try sample.write(to: scratch.url)
        #expect(try CacheManifest.read(scratch.url) == before)
    }

    @Test("a kill between the card and the manifest is reported, and mended by the same command")
    func killed() throws {
        let scratch = try Scratch()
        let before = try manifest(scratch.url)
        let words = CacheCard.Words(name: "New")
        let card = Data(CacheCard(before, words).text.utf8)
        try card.write(to: scratch.url.appendingPathComponent("README.md"))
        let leftover = scratch.url.appendingPathComponent(".manifest.json.x.tmp")
        try Data("{".utf8).write(to: leftover)
        let problems = try CacheVerifier().verify(scratch.url).problems
        #expect(problems.map(\.file) == ["README.md"])
        #expect(try CacheReader(directory: scratch.url).shard(0).recordCount == 3)
        _ = try CacheCard.write(words, to: scratch.url)
        #expect(try CacheVerifier().verify(scratch.url).isWhole)
        #expect(!FileManager.default.fileExists(atPath: leftover.path))
    }

    @Test("is not written while somebody writes the cache, nor where there is none")
    func refused() throws {
        let scratch = try Scratch()
        _ = try manifest(scratch.url)
        let writer = try sample.writer(scratch.url)
        let error = #expect(throws: CacheError.self) {
            try CacheCard.write(.init(), to: scratch.url)
        }
        #expect(error?.kind == .io && error?.message.contains("another process") == true)
        withExtendedLifetime(writer) {}
        let empty = try Scratch()
        let missing = #expect(throws: CacheError.self) {
            try CacheCard.write(.init(), to: empty.url)
        }
        #expect(missing?.kind == .missing)
    }
}
