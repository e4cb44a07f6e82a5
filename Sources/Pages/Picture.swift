import Foundation

/// A picture in SVG 1.1, element after element.
///
/// Colours stand as attributes, which every program knows; browsers lay `style` over them where the
/// reader's screen is dark.
package struct Picture {
    /// In pixels, and in the picture's own units.
    package let width: Double
    /// See `width`.
    package let height: Double
    /// What it shows, for those who do not see it; and what can be read off it.
    package let title: String
    /// See `title`.
    package let description: String
    private var body = ""

    package init(width: Double, height: Double, title: String, description: String = "") {
        self.width = width
        self.height = height
        self.title = title
        self.description = description
    }

    /// A colour, which is another one on a dark screen.
    package enum Paint: String, CaseIterable, Sendable {
        case paper, ink, faint, vermilion, blue, purple, green, orange, sky

        /// Okabe and Ito's palette (2008), which people with any kind of colour blindness tell apart.
        package var light: String {
            switch self {
            case .paper: "#ffffff"
            case .ink: "#1f2328"
            case .faint: "#d4d8dd"
            case .vermilion: "#d55e00"
            case .blue: "#0072b2"
            case .purple: "#cc79a7"
            case .green: "#009e73"
            case .orange: "#b87d00"
            case .sky: "#3a9bd6"
            }
        }

        /// See `light`.
        package var dark: String {
            switch self {
            case .paper: "#15181c"
            case .ink: "#e3e6ea"
            case .faint: "#3a4048"
            case .vermilion: "#f08a3c"
            case .blue: "#4f9de0"
            case .purple: "#e09bc4"
            case .green: "#2ec49a"
            case .orange: "#f0c040"
            case .sky: "#8fd3ff"
            }
        }

        /// For things that are told apart.
        package static let series: [Paint] = [.vermilion, .blue, .green, .purple, .orange, .sky]
    }

    /// The colours of a dark screen, for a picture of its own or for the page around it.
    package static let style: String = {
        let rules = Paint.allCases.map {
            ".fill-\($0.rawValue){fill:\($0.dark)}.line-\($0.rawValue){stroke:\($0.dark)}"
        }
        return "@media screen and (prefers-color-scheme: dark){\(rules.joined())}"
    }()

    /// Where a text stands from.
    package enum Anchor: String {
        case start, middle, end
    }

    package mutating func line(
        _ from: (x: Double, y: Double),
        _ to: (x: Double, y: Double),
        _ paint: Paint,
        width: Double = 1
    ) {
        path([from, to], paint, width: width)
    }

    /// A line through points, not filled.
    package mutating func path(
        _ points: [(x: Double, y: Double)],
        _ paint: Paint,
        width: Double,
        dashes: String? = nil,
        opacity: Double = 1
    ) {
        let text = points.map { "\(Self.number($0.x)),\(Self.number($0.y))" }
            .joined(separator: " ")
        add(
            "polyline",
            [("points", text), ("fill", "none"), ("stroke-linejoin", "round")]
                + Self.stroke(paint, width) + (dashes.map { [("stroke-dasharray", $0)] } ?? [])
                + (opacity < 1 ? [("stroke-opacity", Self.number(opacity))] : [])
        )
    }

    /// - Parameter tip: What a pointer that rests on it is told.
    package mutating func rectangle(
        x: Double,
        y: Double,
        width: Double,
        height: Double,
        _ paint: Paint,
        opacity: Double = 1,
        tip: String? = nil
    ) {
        let sides = [("x", x), ("y", y), ("width", width), ("height", height)]
        let shade = opacity < 1 ? [("fill-opacity", Self.number(opacity))] : []
        add("rect", sides.map { ($0.0, Self.number($0.1)) } + Self.fill(paint) + shade, tip: tip)
    }

    /// An open circle, so that what lies on it is seen.
    package mutating func circle(
        _ at: (x: Double, y: Double),
        _ paint: Paint,
        radius: Double = 4.2
    ) {
        let numbers = [("cx", at.x), ("cy", at.y), ("r", radius)]
        add(
            "circle",
            numbers.map { ($0.0, Self.number($0.1)) } + [("fill", "none")]
                + Self.stroke(paint, 1.4)
        )
    }

    /// A filled triangle.
    package mutating func triangle(_ at: (x: Double, y: Double), _ paint: Paint) {
        let corners = [(0.0, -4.0), (3.6, 2.6), (-3.6, 2.6)].map {
            "\(Self.number(at.x + $0.0)),\(Self.number(at.y + $0.1))"
        }
        add(
            "polygon",
            [("points", corners.joined(separator: " ")), ("fill-opacity", "0.8")]
                + Self.fill(paint)
        )
    }

    package mutating func text(
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
    package var inline: String { whole(style: "") }

    /// A file of its own.
    package var file: String {
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\(whole(style: "<style>\(Self.style)</style>\n"))\n"
    }

    private func whole(style: String) -> String {
        let (w, h) = (Self.number(width), Self.number(height))
        let more = description.isEmpty ? "" : "<desc>\(Markup.escaped(description))</desc>\n"
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(w) \(h)" width="\(w)" \
            height="\(h)" role="img" font-family="system-ui, sans-serif">
            <title>\(Markup.escaped(title))</title>
            \(more)\(style)\(body)</svg>
            """
    }

    private mutating func add(
        _ name: String,
        _ attributes: [(String, String)],
        content: String? = nil,
        tip: String? = nil
    ) {
        let list = attributes.map { " \($0.0)=\"\(Markup.escaped($0.1))\"" }.joined()
        body += "<\(name)\(list)"
        let inner =
            content.map(Markup.escaped) ?? tip.map { "<title>\(Markup.escaped($0))</title>" }
        body += inner.map { ">\($0)</\(name)>\n" } ?? "/>\n"
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
}
