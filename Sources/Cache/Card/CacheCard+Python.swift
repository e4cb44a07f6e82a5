extension CacheCard {
    /// A program that reads the cache; it runs as it stands, in the cache's directory.
    var python: String {
        let description = manifest.description
        let signals = description.signals
        var lines = [
            "# pip install numpy h5py hdf5plugin", "import json", "from pathlib import Path", "",
            "import h5py", "import hdf5plugin  # registers the filters of the arrays",
            "import numpy as np", "", "cache = Path(\".\")",
            "manifest = json.loads((cache / \"manifest.json\").read_text())", "",
            "for entry in manifest[\"shards\"]:",
            "    with h5py.File(cache / entry[\"file\"][\"path\"]) as shard:",
            "        splits = json.loads(shard.attrs[\"retort\"])[\"splits\"]",
            "        for i in range(entry[\"records\"]):",
            "            example = bytes(shard[\"example_id\"][i]).hex()",
            "            split = splits[shard[\"split\"][i]]",
            "            cuts = shard[\"text/offsets\"][3 * i : 3 * i + 4]",
            "            prompt, extra, response = (",
            "                bytes(shard[\"text/bytes\"][a:b]).decode() for a, b in zip(cuts, cuts[1:]))",
            "            first, end = shard[\"token_offsets\"][i : i + 2]",
            "            tokens = shard[\"token_ids\"][first:end]",
            "            rows = slice(*shard[\"row_offsets\"][i : i + 2].tolist())",
        ]
        if signals.positions == .all {
            lines.append("            positions = np.arange(len(tokens))  # of the rows")
        } else {
            lines += [
                "            positions = np.arange(*shard[\"supervised\"][i].tolist())  # of the rows",
                "            labels = tokens[positions + 1]  # the tokens that come next",
            ]
        }
        if signals.hiddenType == .int8 {
            lines += [
                "            number = np.arange(rows.start, rows.stop)",
                "            scale = shard[\"hidden/final_channel_scale\"][:]"
                    + "[number // \(CacheSignals.rowsOfAScale)]",
                "            scale = scale * shard[\"hidden/final_row_scale\"][rows][:, None]",
                "            hidden = shard[\"hidden/final\"][rows] * scale  # (rows, width)",
            ]
        } else {
            lines.append("            hidden = shard[\"hidden/final\"][rows]  # (rows, width)")
        }
        if description.topK > 0 {
            lines += [
                "            top = shard[\"logits/topk_ids\"][rows]  # (rows, k) likely tokens",
                "            log_probabilities = shard[\"logits/topk_logprobs\"][rows]",
            ]
        }
        lines += [
            "            print(example, split, len(tokens), hidden.shape, hidden.dtype)", "",
            "with h5py.File(cache / \"teacher.h5\") as teacher:",
            "    scale = json.loads(teacher.attrs[\"retort\"])[\"logitScale\"]",
            "    head = teacher[\"head\"]  # (vocabulary, width): logits = scale * hidden @ head.T",
            "    print(head.shape, scale)",
        ]
        return "## With Python\n\n```python\n" + lines.joined(separator: "\n") + "\n```"
    }
}
