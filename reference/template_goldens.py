"""Holds Retort's prompt templates against published chat templates, rendered by transformers.

    python reference/template_goldens.py [FOLDER]

FOLDER (default models/vocabs/templates, see scripts/fetch-vocabs.sh) has the longer ones. Writes
Tests/TokenizersTests/Fixtures/templates.json (what each published text renders, and some texts that
must not be recognised) and Sources/Tokenizers/ChatTemplate+Known.swift (fingerprints of the texts).

A text is listed under a name only when for every message below it renders what that prompt template
gives; the Swift tests check Retort's side of that equation.
"""

import json
import pathlib
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "Tests/TokenizersTests/Fixtures/templates.json"
SWIFT = ROOT / "Sources/Tokenizers/ChatTemplate+Known.swift"
BOS = "<BOS>"
MESSAGES = ["Hi", "  Add 1 and 2.\n\n", "\tsalut\u00a0", "a\n\n### b {{ c }} '\"\\", "\u3000水は低きに\x1f", ""]

CHATML = [
    (
        "Qwen1.5",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
        "+ '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
        "{% endif %}",
    ),
    (
        "OpenHermes 2.5",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
        "+ '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|im_start|>assistant\\n' }}{% endif %}",
    ),
]
LLAMA2 = [
    (
        "Llama 2 chat",
        "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
        "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
        "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception("
        "'Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + "
        "system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}"
        "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
        "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}"
        "{% endif %}{% endfor %}",
    )
]
LLAMA3 = [
    (
        "Llama 3 Instruct",
        "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
        "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim "
        "+ '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
        "{{ content }}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    )
]
MISTRAL = [
    (
        "Mistral Instruct 0.1 and 0.2",
        "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != "
        "(loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate "
        "user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}"
        "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
        "{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant "
        "roles are supported!') }}{% endif %}{% endfor %}",
    )
]
PHI3 = [
    (
        "Phi-3 mini",
        "{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + "
        "message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + "
        "message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
        "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    ),
    (
        "Phi-3 medium",
        "{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\n' + "
        "message['content'] + '<|end|>' + '\n' + '<|assistant|>' + '\n'}}"
        "{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '\n'}}"
        "{% endif %}{% endfor %}",
    ),
]
ZEPHYR = [
    (
        "Zephyr and TinyLlama chat",
        "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + "
        "message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n"
        "{{ '<|system|>\n' + message['content'] + eos_token }}\n"
        "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + "
        "eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n"
        "{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    )
]
# Known by their files; the Swift test recognises the short ones above by their text.
LONG = {
    "google-gemma-2-2b-it.jinja": ("gemma", "Gemma 2"),
    "microsoft-Phi-3.5-mini-instruct.jinja": ("phi3", "Phi-3.5 mini"),
    "Qwen-Qwen3-0.6B.jinja": ("chatml", "Qwen3"),
    "Qwen3-Coder.jinja": ("chatml", "Qwen3 Coder"),
}
# (text, suggestion): each puts something of its own in, so none may be recognised.
NOT_KNOWN = [
    (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
        "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|im_start|>assistant\n' }}{% endif %}",
        "chatml",
    ),
    (CHATML[0][1].replace("+ '\n'}}", "+ ' '}}"), "chatml"),
    (MISTRAL[0][1].replace("' [/INST]'", "'[/INST]'"), "mistral"),
    (LLAMA2[0][1].replace("set system_message = false", "set system_message = 'Be kind.'"), "llama2"),
    ("{{ bos_token }}" + PHI3[1][1], "phi3"),
    ("{{ messages[0]['content'] }}", None),
]


def render(text, message):
    template = _compile_jinja_template(text)
    messages = [{"role": "user", "content": message}]
    return template.render(
        messages=messages, add_generation_prompt=True, bos_token=BOS, eos_token="</s>", tools=None
    )


def fingerprint(text):
    """ChatTemplate.fingerprint: 128-bit FNV-1a of the text without white space at its ends."""
    state = 0x6C62272E07BB014262B821756295C58D
    for byte in text.strip().encode() + b"\xff":
        state = ((state ^ byte) * 0x0000000001000000000000000000013B) % (1 << 128)
    return f"{state:032x}"


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "models/vocabs/templates"
    known = []
    for name, texts in [
        ("chatml", CHATML), ("llama2", LLAMA2), ("llama3", LLAMA3), ("mistral", MISTRAL),
        ("phi3", PHI3), ("zephyr", ZEPHYR),
    ]:  # fmt: skip
        known += [(name, source, text, True) for source, text in texts]
    for file, (name, source) in LONG.items():
        known.append((name, source, (folder / file).read_text(encoding="utf-8"), False))

    published = []
    reference = {}
    for name, source, text, is_short in known:
        rendered = [render(text, message) for message in MESSAGES]
        if reference.setdefault(name, rendered) != rendered:
            raise SystemExit(f"{source}: renders otherwise than the first one of {name}")
        published.append({"name": name, "source": source} | ({"jinja": text} if is_short else {}))
    fixture = {
        "bos": BOS,
        "messages": MESSAGES,
        "rendered": reference,
        "published": published,
        "not_known": [{"jinja": text, "suggestion": near} for text, near in NOT_KNOWN],
    }
    FIXTURE.write_text(json.dumps(fixture, indent=1, ensure_ascii=True) + "\n")

    lines = ["extension ChatTemplate {", "    /// Prompt template by fingerprint of the known texts.", "    ///"]
    lines += ["    /// Made by reference/template_goldens.py.", "    static let known = ["]
    for name, source, text, _ in known:
        lines += [f"        // {source}", f'        "{fingerprint(text)}": "{name}",']
    SWIFT.write_text("\n".join([*lines, "    ]", "}"]) + "\n")
    print(f"{len(known)} chat templates of {len(reference)} prompt templates")


if __name__ == "__main__":
    main()
