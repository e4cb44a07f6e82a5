import Foundation
import Testing

@testable import retort

@Suite("Settings files")
struct ConfigurationTests {
    private struct Settings: Decodable, Equatable {
        var name: String
        var rate: Double
        var count: Int?
        var flag: Bool?
        var list: [Int]?
    }

    private static let keys = ["name", "rate", "count", "flag", "list"]

    private func decode(_ text: String, overrides: [String] = []) throws -> Settings {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent(
            "\(UUID().uuidString).yaml"
        )
        defer { try? FileManager.default.removeItem(at: url) }
        try Data(text.utf8).write(to: url)
        return try ConfigurationFile(url.path, overrides: overrides).root.decode(
            Settings.self,
            keys: Self.keys,
            section: "stage"
        )
    }

    @Test(
        "numbers as people write them",
        arguments: [("1e-5", 1e-5), ("2E-5", 2e-5), ("3", 3), ("1_000", 1000), ("-0.5", -0.5)]
    )
    func numbers(text: String, expected: Double) throws {
        #expect(try decode("name: a\nrate: \(text)\n").rate == expected)
    }

    @Test("quoted scalars stay text; plain ones of that form are numbers and truth values")
    func kinds() throws {
        let settings = try decode("name: \"12\"\nrate: 1\nflag: true\nlist: [1, 2]\ncount: null\n")
        #expect(settings == Settings(name: "12", rate: 1, count: nil, flag: true, list: [1, 2]))
    }

    @Test("an unknown key is refused with its line and the nearest known key")
    func unknownKey() throws {
        let error = #expect(throws: ConfigurationError.self) {
            try decode("name: a\nrate: 1\nconut: 3\n")
        }
        #expect(error?.description.contains(".yaml:3: unknown key \"stage.conut\"") == true)
        #expect(error?.description.contains("did you mean \"count\"?") == true)
    }

    @Test(
        "what is wrong is named with its line",
        arguments: [
            ("name: a\nrate: fast\n", ":2: \"stage.rate\" is \"fast\": expected a number"),
            ("name: a\nrate: '1e-5'\n", "remove the quotes"),
            ("name: a\nrate: 1\ncount: 1.5\n", ":3: \"stage.count\" is 1.5: not a whole number"),
            ("name: 12\nrate: 1\n", ":1: \"stage.name\" is \"12\": expected text (quote it)"),
            ("name: a\n", "\"stage.rate\" is missing"),
            ("name: a\nname: b\nrate: 1\n", "not valid YAML"),
            ("name: [\n", "not valid YAML"),
        ]
    )
    func mistakes(text: String, words: String) throws {
        let error = #expect(throws: ConfigurationError.self) { try decode(text) }
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }

    @Test("--set lays values over the file, also below sections that are not there")
    func overrides() throws {
        let settings = try decode("name: a\nrate: 1\n", overrides: ["rate=2e-3", "name=b=c"])
        #expect(settings.rate == 2e-3 && settings.name == "b=c")
        let file = try ConfigurationFile(overrides: ["a.b.c=1"])
        guard case .scalar(let text, _, _)? = file.root["a"]?["b"]?["c"] else {
            Issue.record("a.b.c is not set")
            return
        }
        #expect(text == "1")
    }

    @Test("a --set without a value is refused", arguments: ["rate", "=3"])
    func badOverride(text: String) throws {
        #expect(throws: ConfigurationError.self) { try ConfigurationFile(overrides: [text]) }
    }

    @Test("an alias bomb is refused before it is expanded")
    func aliasBomb() throws {
        var text = "a: &a [x, x, x, x, x, x, x, x, x]\n"
        var last = "a"
        for name in ["b", "c", "d", "e", "f", "g", "h", "i"] {
            text +=
                "\(name): &\(name) ["
                + Array(repeating: "*\(last)", count: 9).joined(
                    separator: ", "
                ) + "]\n"
            last = name
        }
        #expect(throws: ConfigurationError.self) { try decode(text) }
    }
}
