import Distill
import Testing

@testable import retort

@Suite("What training says")
struct TrainingWordsTests {
    @Test("a sample is one line, without anything that a terminal obeys")
    func sample() {
        let answer = "\u{1B}[31mred\nnext\u{202E}" + String(repeating: "x", count: 200)
        let sample = TrainingSample(step: 7, prompt: "say\t\u{7}", answer: answer)
        let line = TrainingWords.line(.sample(sample))
        #expect(line.hasPrefix(#"step 7  say\t\u{7}  ->  \u{1B}[31mred\nnext\u{202E}xxx"#))
        #expect(line.hasSuffix("… (\(answer.count) characters)") && line.count < 260)
    }

    @Test("commands that are told can be pasted")
    func shell() {
        for (text, quoted) in [
            ("runs/a-1/x.yaml", "runs/a-1/x.yaml"), ("pp run", "'pp run'"), ("", "''"),
            ("it's", #"'it'\''s'"#), ("$(rm)", "'$(rm)'"), ("é", "'é'"),
        ] {
            #expect(ShellWord.quoted(text) == quoted)
        }
    }
}
