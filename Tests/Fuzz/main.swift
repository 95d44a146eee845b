import Core
import Glibc

// fuzz-driver SEED COUNT [JOURNAL [TARGET...]]
// Gives each target its part of COUNT inputs, made from SEED. Before each input its number is in JOURNAL, so that whoever finds this
// process dead knows which it was: `fuzz-driver SEED target/number` runs that one again and prints it;
// `target/first-last` several, where one alone does not do it.

/// At once, so that what was said before an end is there.
func say(_ text: String) {
    let line = Array((text + "\n").utf8)
    _ = write(1, line, line.count)
}

let words = CommandLine.arguments
guard words.count >= 3, let seed = UInt64(words[1]) else {
    say("usage: fuzz-driver SEED COUNT [JOURNAL [TARGET...]] | fuzz-driver SEED TARGET/FIRST[-LAST]")
    exit(2)
}
do {
    let targets = try Target.all()
    if let slash = words[2].firstIndex(of: "/") {
        let name = words[2][..<slash]
        let numbers = words[2][words[2].index(after: slash)...].split(separator: "-").compactMap { Int($0) }
        guard let first = numbers.first, let last = numbers.last, first <= last else { exit(2) }
        for target in targets where target.name == name { for number in first...last { try Run(seed: seed, journal: nil).one(target, number) } }
    } else {
        let wanted = Set(words.dropFirst(4))
        let chosen = targets.filter { wanted.isEmpty || wanted.contains($0.name) }
        let run = try Run(seed: seed, journal: words.count > 3 ? words[3] : nil)
        let whole = chosen.reduce(0) { $0 + $1.share }
        for target in chosen { try run.all(target, count: max(1, (Int(words[2]) ?? 0) * target.share / max(1, whole))) }
        exit(run.verdict())
    }
} catch {
    say("error: \(error)")
    exit(1)
}
