import Foundation

/// A picture in SVG 1.1, element after element.
///
/// Colours stand as attributes, which every program knows; browsers lay `style` over them where the
/// reader's screen is dark.
struct SimulationSVG {
    /// In pixels, and in the picture's own units.
    let width: Double
    /// See `width`.
    let height: Double
    /// What it shows, for those who do not see it.
    let title: String
    private var body = ""

    init(width: Double, height: Double, title: String) {
        self.width = width
        self.height = height
        self.title = title
    }

    /// What an element is, which decides its colour on a light and on a dark screen.
    enum Paint: String, CaseIterable {
        case paper, ink, faint, student, teacher, different, shared

        /// Okabe and Ito's palette (2008), which people with any kind of colour blindness tell apart:
        /// vermilion and blue for the points, purple and green for the losses; lighter on dark.
        var light: String {
            switch self {
            case .paper: "#ffffff"
            case .ink: "#1f2328"
            case .faint: "#d4d8dd"
            case .student: "#d55e00"
            case .teacher: "#0072b2"
            case .different: "#cc79a7"
            case .shared: "#009e73"
            }
        }

        /// See `light`.
        var dark: String {
            switch self {
            case .paper: "#15181c"
            case .ink: "#e3e6ea"
            case .faint: "#3a4048"
            case .student: "#f08a3c"
            case .teacher: "#56b4e9"
            case .different: "#e09bc4"
            case .shared: "#2ec49a"
            }
        }
    }

    /// The colours of a dark screen, for a picture of its own or for the page around it.
    static let style: String = {
        let rules = Paint.allCases.map {
            ".fill-\($0.rawValue){fill:\($0.dark)}.line-\($0.rawValue){stroke:\($0.dark)}"
        }
        return "@media (prefers-color-scheme: dark){\(rules.joined())}"
    }()

    /// Where a text stands from.
    enum Anchor: String {
        case start, middle, end
    }

    mutating func line(
        _ from: (x: Double, y: Double),
        _ to: (x: Double, y: Double),
        _ paint: Paint,
        width: Double = 1
    ) {
        path([from, to], paint, width: width)
    }

    /// A line through points, not filled.
    mutating func path(
        _ points: [(x: Double, y: Double)],
        _ paint: Paint,
        width: Double,
        dashes: String? = nil
    ) {
        let text = points.map { "\(Self.number($0.x)),\(Self.number($0.y))" }
            .joined(separator: " ")
        add(
            "polyline",
            [("points", text), ("fill", "none"), ("stroke-linejoin", "round")]
                + Self.stroke(paint, width) + (dashes.map { [("stroke-dasharray", $0)] } ?? [])
        )
    }

    mutating func rectangle(x: Double, y: Double, width: Double, height: Double, _ paint: Paint) {
        let sides = [("x", x), ("y", y), ("width", width), ("height", height)]
        add("rect", sides.map { ($0.0, Self.number($0.1)) } + Self.fill(paint))
    }

    /// The mark of a teacher's point: an open circle, so that what lies on it is seen.
    mutating func circle(_ at: (x: Double, y: Double), _ paint: Paint) {
        let numbers = [("cx", at.x), ("cy", at.y), ("r", 4.2)]
        add(
            "circle",
            numbers.map { ($0.0, Self.number($0.1)) } + [("fill", "none")]
                + Self.stroke(paint, 1.4)
        )
    }

    /// The mark of a student's point.
    mutating func triangle(_ at: (x: Double, y: Double), _ paint: Paint) {
        let corners = [(0.0, -4.0), (3.6, 2.6), (-3.6, 2.6)].map {
            "\(Self.number(at.x + $0.0)),\(Self.number(at.y + $0.1))"
        }
        add(
            "polygon",
            [("points", corners.joined(separator: " ")), ("fill-opacity", "0.8")]
                + Self.fill(paint)
        )
    }

    mutating func text(
        _ text: String,
        _ at: (x: Double, y: Double),
        anchor: Anchor = .start,
        size: Double = 12,
        bold: Bool = false,
        upright: Bool = false
    ) {
        let (x, y) = (Self.number(at.x), Self.number(at.y))
        var attributes = [
            ("x", x), ("y", y), ("text-anchor", anchor.rawValue),
            ("font-size", Self.number(size)),
        ]
        if bold { attributes.append(("font-weight", "bold")) }
        if upright { attributes.append(("transform", "rotate(-90 \(x) \(y))")) }
        add("text", attributes + Self.fill(.ink), content: text)
    }

    /// For a page whose own style holds `style`.
    var inline: String { whole(style: "") }

    /// A file of its own.
    var file: String {
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\(whole(style: "<style>\(Self.style)</style>\n"))\n"
    }

    private func whole(style: String) -> String {
        let (w, h) = (Self.number(width), Self.number(height))
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(w) \(h)" width="\(w)" \
            height="\(h)" role="img" font-family="system-ui, sans-serif">
            <title>\(Self.escaped(title))</title>
            \(style)\(body)</svg>
            """
    }

    private mutating func add(
        _ name: String,
        _ attributes: [(String, String)],
        content: String? = nil
    ) {
        let list = attributes.map { " \($0.0)=\"\(Self.escaped($0.1))\"" }.joined()
        body += "<\(name)\(list)"
        body += content.map { ">\(Self.escaped($0))</\(name)>\n" } ?? "/>\n"
    }

    private static func fill(_ paint: Paint) -> [(String, String)] {
        [("class", "fill-\(paint.rawValue)"), ("fill", paint.light)]
    }

    private static func stroke(_ paint: Paint, _ width: Double) -> [(String, String)] {
        [
            ("class", "line-\(paint.rawValue)"), ("stroke", paint.light),
            ("stroke-width", number(width)),
        ]
    }

    /// At most two decimals.
    private static func number(_ value: Double) -> String {
        let text = String(format: "%.2f", value)
        guard text.hasSuffix("0") else { return text }
        return String(text.dropLast(text.hasSuffix(".00") ? 3 : 1))
    }

    /// Text for XML and HTML.
    static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;")
            .replacingOccurrences(of: "<", with: "&lt;")
            .replacingOccurrences(of: ">", with: "&gt;")
            .replacingOccurrences(of: "\"", with: "&quot;")
    }
}
