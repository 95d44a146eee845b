import Core
package import Machinery
package import Tree

/// Cron jobs: a schedule that can be read, in a time zone that is named apart from it.
package struct CronJobStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        PodDefaults.applyToSpec(&object["spec"]["jobTemplate"]["spec"]["template"]["spec"])
        if object["spec"]["concurrencyPolicy"].isEmpty { object["spec"]["concurrencyPolicy"] = "Allow" }
        if object["spec"]["suspend"].isNull { object["spec"]["suspend"] = false }
        if object["spec"]["successfulJobsHistoryLimit"].isNull { object["spec"]["successfulJobsHistoryLimit"] = 3 }
        if object["spec"]["failedJobsHistoryLimit"].isNull { object["spec"]["failedJobsHistoryLimit"] = 1 }
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let schedule = spec["schedule"].string ?? ""
        if schedule.isEmpty {
            findings.required(path.child("schedule"))
        } else {
            if let problem = CronSchedule.problem(schedule) { findings.invalid(path.child("schedule"), .string(schedule), problem) }
            if schedule.contains("TZ") {
                findings.invalid(path.child("schedule"), .string(schedule), "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
            }
        }
        findings.nonNegative(path, fields: ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"], of: spec)
        timeZone(spec["timeZone"], path.child("timeZone"), &findings)
        let job = spec["jobTemplate"]["spec"]
        let jobPath = path.child("jobTemplate").child("spec")
        findings.add(JobRules.errors(job, at: jobPath))
        if job["manualSelector"].bool == true { findings.notSupported(jobPath.child("manualSelector"), raw: true, ["nil", "false"]) }
        if !job["selector"].isNull { findings.invalid(jobPath.child("selector"), job["selector"], "`selector` will be auto-generated") }
        if object.revision == 0, object.name.utf8.count > 52 {
            findings.add(.invalid("metadata.name", quoted: object.name, "must be no more than 52 characters"))
        }
        return findings.errors
    }

    private func timeZone(_ zone: Node, _ path: NodePath, _ findings: inout Findings) {
        guard let name = zone.string else { return }
        if name.isEmpty { return findings.invalid(path, zone, "timeZone must be nil or non-empty string") }
        func isPlain(_ part: Substring) -> Bool {
            !part.isEmpty && part.utf8.count <= 14 && part != "." && part != ".." && !part.hasPrefix("-")
                && part.utf8.allSatisfy { ($0 | 0x20) &- 97 < 26 || $0 &- 48 < 10 || "+-._".utf8.contains($0) }
        }
        if !name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(isPlain) {
            return findings.invalid(path, zone, "unknown time zone \(name)")
        }
        if name.lowercased() != "local", TimeZoneRules(named: name) == nil { findings.invalid(path, zone, "unknown time zone \(name)") }
        if name.lowercased() == "local" {
            findings.invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones")
        }
    }
}

/// The five fields of a cron schedule, or one of its words.
enum CronSchedule {
    /// What is wrong with a schedule; nil when nothing is.
    static func problem(_ text: String) -> String? {
        var text = Substring(text)
        for prefix in ["TZ=", "CRON_TZ="] where text.hasPrefix(prefix) {
            guard let space = text.firstIndex(of: " ") else { return "provided bad location \(text.dropFirst(prefix.count)): no schedule" }
            text = text[space...].drop { $0 == " " }
        }
        if text.hasPrefix("@") {
            let words = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]
            if words.contains(String(text)) { return nil }
            if text.hasPrefix("@every ") {
                let duration = String(text.dropFirst(7))
                return GoDuration.parse(duration) == nil ? "failed to parse duration \(text): time: invalid duration \(FieldError.quoted(duration))" : nil
            }
            return "unrecognized descriptor: \(text)"
        }
        let parts = text.split(whereSeparator: \.isWhitespace)
        guard parts.count == 5 else {
            let found = "[" + parts.joined(separator: " ") + "]"
            return "expected exactly 5 fields, found \(parts.count): \(found)"
        }
        for (part, field) in zip(parts, fields) { if let problem = field.problem(part) { return problem } }
        return nil
    }

    private static let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    private static let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    private static let fields = [
        CronField(low: 0, high: 59, names: []), CronField(low: 0, high: 23, names: []), CronField(low: 1, high: 31, names: []),
        CronField(low: 1, high: 12, names: months), CronField(low: 0, high: 6, names: days),
    ]
}

private struct CronField {
    let low: Int
    let high: Int
    let names: [String]

    private func number(_ text: Substring) -> Int? {
        if let index = names.firstIndex(of: text.lowercased()) { return index + low }
        return text.utf8.allSatisfy { $0 &- 48 < 10 } ? Int(text) : nil
    }

    func problem(_ text: Substring) -> String? {
        for part in text.split(separator: ",", omittingEmptySubsequences: true) { if let problem = rangeProblem(part) { return problem } }
        return nil
    }

    private func rangeProblem(_ text: Substring) -> String? {
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        let ends = halves[0].split(separator: "-", omittingEmptySubsequences: false)
        var (start, end) = (low, high)
        func bad(_ part: Substring) -> String { "failed to parse int from \(part): strconv.Atoi: parsing \(FieldError.quoted(String(part))): invalid syntax" }
        if ends[0] != "*", ends[0] != "?" {
            guard let first = number(ends[0]) else { return bad(ends[0]) }
            start = first
            if ends.count > 2 { return "too many hyphens: \(text)" }
            end = first
            if ends.count == 2 {
                guard let last = number(ends[1]) else { return bad(ends[1]) }
                end = last
            }
        }
        if halves.count > 2 { return "too many slashes: \(text)" }
        if halves.count == 2 {
            guard let step = number(halves[1]) else { return bad(halves[1]) }
            if step == 0 { return "step of range should be a positive number: \(text)" }
            if ends.count == 1 { end = high }
        }
        if start < low { return "beginning of range (\(start)) below minimum (\(low)): \(text)" }
        if end > high { return "end of range (\(end)) above maximum (\(high)): \(text)" }
        if start > end { return "beginning of range (\(start)) beyond end of range (\(end)): \(text)" }
        return nil
    }
}
