import Foundation
import FoundationXML

/// Whether a text is well-formed XML, and how often each element occurs.
public final class XMLCount: NSObject, XMLParserDelegate {
    /// How many there are of each.
    public private(set) var elements: [String: Int] = [:]
    /// Addresses that a reader's program would fetch.
    public private(set) var references: [String] = []

    /// All text between elements.
    public private(set) var text = ""

    /// Nil for a text that is no well-formed XML.
    public init?(_ text: String) {
        super.init()
        let parser = XMLParser(data: Data(text.utf8))
        parser.delegate = self
        guard parser.parse() else { return nil }
    }

    /// Called by the parser.
    public func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }

    /// Called by the parser.
    public func parser(
        _ parser: XMLParser,
        didStartElement name: String,
        namespaceURI: String?,
        qualifiedName: String?,
        attributes: [String: String]
    ) {
        elements[name, default: 0] += 1
        for key in ["href", "src", "xlink:href"] {
            if let value = attributes[key] { references.append(value) }
        }
    }
}
