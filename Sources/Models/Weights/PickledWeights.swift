import Foundation

/// PyTorch's own weight files (.bin, .pt, .pth): pickles, which are programs, so Retort never opens one.
enum PickledWeights {
    /// Throws what to do about the pickled weights of a directory; returns when it has none.
    ///
    /// - Parameter adapter: Whether the directory holds an adapter instead of a model.
    /// - Throws: `ModelError` `unsupported` with the command that converts them.
    static func refuse(_ directory: URL, adapter: Bool = false) throws {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        let endings = [".bin", ".pt", ".pth"]
        // What a trainer leaves beside the weights is not them.
        let others: Set = ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"]
        let pickles = names.filter { name in
            endings.contains(where: name.hasSuffix) && !others.contains(name)
        }.sorted()
        guard let first = pickles.first else { return }
        let from = quoted(directory.path)
        let to = quoted(directory.path + "-safetensors")
        let program =
            adapter
            ? "import sys, torch; from safetensors.torch import save_file; "
                + "save_file({k: v.contiguous() for k, v in torch.load(sys.argv[1], "
                + "map_location='cpu', weights_only=True).items()}, sys.argv[2])"
            : "import sys; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
                + "M.from_pretrained(sys.argv[1], torch_dtype='auto', use_safetensors=False)"
                + ".save_pretrained(sys.argv[2], safe_serialization=True); "
                + "T.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
        let arguments =
            adapter
            ? quoted(directory.appendingPathComponent(first).path) + " "
                + quoted(directory.appendingPathComponent(LoraAdapter.weightsName).path)
            : "\(from) \(to)"
        throw ModelError(
            .unsupported,
            path: directory.path,
            "the weights are PyTorch pickles (\(pickles.prefix(3).joined(separator: ", "))), which "
                + "run code when they are opened",
            remedy: "If you trust their source, convert them: "
                + "python3 -c \"\(program)\" \(arguments)"
        )
    }

    /// A path as a shell takes it literally.
    private static func quoted(_ path: String) -> String {
        "'" + path.replacingOccurrences(of: "'", with: "'\\''") + "'"
    }
}
