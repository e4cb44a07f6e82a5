// swift-tools-version: 6.2
import PackageDescription

// Warnings are errors in our own targets, and unsafe code is allowed only where a hot loop needs it.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
    .treatAllWarnings(as: .error),
]

// The kernels stay optimised in debug builds: unoptimised they run 40 times slower, and `make test` with them.
let optimizedC: [CSetting] = [.unsafeFlags(["-O3", "-Wno-psabi"])]
let optimized: [SwiftSetting] = [.unsafeFlags(["-O"], .when(configuration: .debug))]

let package = Package(
    name: "retort",
    products: [
        .executable(name: "retort", targets: ["retort"])
    ],
    traits: [
        .trait(
            name: "MPI",
            description: "Training by several processes (Debian: libopenmpi-dev), off by default."
        )
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swhitty/FlyingFox", from: "0.27.1"),
    ],
    targets: [
        // MARK: C libraries of the system, each behind one module map.
        .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"])]),
        .systemLibrary(
            name: "COpenBLAS",
            pkgConfig: "openblas",
            providers: [.apt(["libopenblas-dev"])]
        ),
        .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(
            name: "CPCRE2",
            pkgConfig: "libpcre2-8",
            providers: [.apt(["libpcre2-dev"])]
        ),

        // Loops that touch tokens x hidden: plain C, several instruction sets, chosen at run time.
        .target(name: "CKernels", cSettings: optimizedC),

        // The process that reads strangers' file structure: its walls and its socket.
        .target(name: "CJail"),

        // Storage, matrix views, matrix products, threads, random numbers.
        .target(
            name: "Tensors",
            dependencies: ["CKernels", "COpenBLAS", "COneDNN"],
            swiftSettings: optimized
        ),
        .testTarget(name: "TensorsTests", dependencies: ["Tensors", "CKernels"]),

        // Text to token ids and back; prompt templates.
        .target(name: "Tokenizers", dependencies: ["CPCRE2"], swiftSettings: optimized),
        .testTarget(
            name: "TokenizersTests",
            dependencies: ["Tokenizers"],
            resources: [.copy("Fixtures")]
        ),

        // Architectures, their weights (safetensors, GGUF), generation, export.
        .target(name: "Models", dependencies: ["Tensors", "CKernels"], swiftSettings: optimized),
        .testTarget(
            name: "ModelsTests",
            dependencies: ["Models", "Tensors", "CKernels"],
            resources: [.copy("Fixtures")]
        ),

        // The shard format: writer, reader, codecs, manifest, verification, streaming.
        .target(
            name: "Cache",
            dependencies: [
                "CHDF5", "CJail", "CLZ4", "CZlib", "CKernels",
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: optimized
        ),
        .testTarget(
            name: "CacheTests",
            dependencies: ["Cache", "CJail", "TestSupport"],
            resources: [.copy("Fixtures")]
        ),

        // Dataset -> tokens -> teacher -> shards.
        .target(name: "Extract", dependencies: ["Cache", "Models", "Tokenizers", "Tensors"]),
        .testTarget(
            name: "ExtractTests",
            dependencies: ["Extract", "Cache", "Models", "Tensors", "Tokenizers", "TestSupport"]
        ),

        // Texts against references, and how sure a mean of them is.
        .target(name: "Scores", dependencies: ["Tensors"], swiftSettings: optimized),
        .testTarget(
            name: "ScoresTests",
            dependencies: ["Scores"],
            resources: [.copy("Fixtures")]
        ),

        // Processes that train together; without the trait, one alone.
        .target(
            name: "CMPI",
            cSettings: [.define("RETORT_MPI", .when(traits: ["MPI"]))],
            linkerSettings: [.linkedLibrary("mpi", .when(traits: ["MPI"]))]
        ),
        .target(name: "Ranks", dependencies: ["CMPI"]),
        .testTarget(name: "RanksTests", dependencies: ["Ranks"]),

        // Pictures and pages for browsers.
        .target(name: "Pages", dependencies: ["Cache"], swiftSettings: optimized),

        // Shards -> student. Never imports Extract: training needs no teacher.
        .target(
            name: "Distill",
            dependencies: [
                "Cache", "Models", "Pages", "Ranks", "Scores", "Tokenizers", "Tensors", "CKernels",
            ],
            swiftSettings: optimized
        ),
        .testTarget(
            name: "DistillTests",
            dependencies: [
                "Distill", "Cache", "CKernels", "Models", "Ranks", "Scores", "Tensors",
                "Tokenizers",
                "TestSupport",
            ],
            resources: [.copy("Fixtures")]
        ),

        // What runs left, for people: the report's page and the terminal's view of a run.
        .target(
            name: "Report",
            dependencies: ["Cache", "Distill", "Pages", "Scores"],
            swiftSettings: optimized
        ),
        .testTarget(
            name: "ReportTests",
            dependencies: ["Report", "Distill", "Pages", "Scores", "TestSupport"],
            resources: [.copy("Fixtures")]
        ),

        // The command line: parse, call, print.
        .executableTarget(
            name: "retort",
            dependencies: [
                "Extract", "Distill", "Ranks", "Report", "Scores", "Yams",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "FlyingFox", package: "FlyingFox"),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .testTarget(
            name: "RetortTests",
            dependencies: ["retort", "Cache", "Distill", "Models", "TestSupport"]
        ),

        // Speed of the main parts, as shares of a plain product: `make bench`.
        .executableTarget(
            name: "benchmarks",
            dependencies: ["Cache", "CKernels", "Distill", "Extract", "Models", "Tensors"],
            path: "benchmarks",
            exclude: [
                "cache.py", "cache_sides.py", "criteria.py", "criteria_sides.py", "extract.py",
                "train.py", "train_sides.py",
            ]
        ),

        // Damaged files by the thousand, under AddressSanitizer: `make fuzz`.
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "Cache", "Distill", "Extract", "Models", "Report", "Tensors", "Tokenizers",
            ],
            path: "Tests/Fuzz"
        ),

        // A tiny teacher and its data, for tests that run the whole way.
        .target(
            name: "TestSupport",
            dependencies: ["Models", "Tensors", "Tokenizers"],
            path: "Tests/TestSupport"
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where [.regular, .executable, .test].contains(target.type) {
    guard !["CKernels", "CJail", "CMPI"].contains(target.name) else { continue }
    target.swiftSettings = (target.swiftSettings ?? []) + settings
}
