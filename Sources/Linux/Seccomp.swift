import CLinux
import CSeccomp
package import Core
import Glibc

/// A seccomp filter as the kernel takes it. Compiling costs a millisecond or two: do it once per profile and keep it.
package struct SeccompFilter: Sendable, Equatable {
    /// `struct sock_filter[]`
    package let program: [UInt8]
    /// SECCOMP_FILTER_FLAG_*
    package let flags: UInt32

    package init(program: [UInt8], flags: UInt32 = 0) {
        self.program = program
        self.flags = flags
    }
}

/// A filter in the terms of an OCI runtime's profile.
package struct SeccompProfile: Sendable, Equatable, Hashable {
    package enum Action: Sendable, Equatable, Hashable {
        case allow, killProcess, killThread, trap, log
        case error(Int32)
        case trace(UInt32)
    }
    package enum Comparison: Sendable, Equatable, Hashable { case notEqual, less, lessOrEqual, equal, greaterOrEqual, greater, maskedEqual }
    package struct Condition: Sendable, Equatable, Hashable {
        package let argument: UInt32
        package let comparison: Comparison
        package let value: UInt64
        /// For `maskedEqual`: `value` is the mask then, as in the profile's JSON.
        package let second: UInt64
        package init(argument: UInt32, _ comparison: Comparison, _ value: UInt64, _ second: UInt64 = 0) {
            self.argument = argument
            self.comparison = comparison
            self.value = value
            self.second = second
        }
    }
    package struct Rule: Sendable, Equatable, Hashable {
        package var names: [String]
        package var action: Action
        /// All must hold.
        package var conditions: [Condition]
        package init(_ names: [String], _ action: Action, _ conditions: [Condition] = []) {
            self.names = names
            self.action = action
            self.conditions = conditions
        }
    }

    package var standard: Action
    package var rules: [Rule]
    /// libseccomp's names beside the native one: "x86", "x32", "arm".
    package var architectures: [String]
    package var log = false

    package init(standard: Action, rules: [Rule], architectures: [String] = []) {
        self.standard = standard
        self.rules = rules
        self.architectures = architectures
    }

    /// Names that this machine's libseccomp does not know are skipped, as other runtimes do: a profile is written for many kernels.
    package func compile() throws(SystemFailure) -> SeccompFilter {
        guard let context = seccomp_init(standard.code) else { throw SystemFailure("seccomp_init", errno: EINVAL) }
        defer { seccomp_release(context) }
        // The container start sets no_new_privs itself, or not.
        try check("seccomp_attr_set", seccomp_attr_set(context, SCMP_FLTATR_CTL_NNP, 0))
        for name in architectures {
            let architecture = seccomp_arch_resolve_name(name)
            guard architecture != 0 else { continue }
            let result = seccomp_arch_add(context, architecture)
            if result != -EEXIST { try check("seccomp_arch_add", result) }
        }
        for rule in rules where rule.action != standard {
            for name in rule.names { try add(rule, name, to: context) }
        }
        // A binary tree instead of a chain of hundreds of comparisons for each system call.
        _ = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2)
        let file = jangada_memfd("seccomp")
        guard file >= 0 else { throw SystemFailure("memfd_create", "seccomp") }
        let descriptor = Descriptor(file)
        try check("seccomp_export_bpf", seccomp_export_bpf(context, file))
        guard lseek(file, 0, SEEK_SET) == 0 else { throw SystemFailure("lseek", "seccomp") }
        return SeccompFilter(program: try descriptor.readAll(), flags: log ? 2 /* SECCOMP_FILTER_FLAG_LOG */ : 0)
    }

    private func add(_ rule: Rule, _ name: String, to context: scmp_filter_ctx) throws(SystemFailure) {
        let number = seccomp_syscall_resolve_name(name)
        guard number != -1 /* __NR_SCMP_ERROR */ else { return }
        let compares = rule.conditions.map { condition in
            var compare = scmp_arg_cmp()
            compare.arg = condition.argument
            compare.op = condition.comparison.code
            compare.datum_a = condition.value
            compare.datum_b = condition.second
            return compare
        }
        let result = seccomp_rule_add_array(context, rule.action.code, number, UInt32(compares.count), compares)
        if result != -EEXIST && result != -EDOM { try check("seccomp_rule_add", result, name) }
    }

    private func check(_ operation: String, _ result: Int32, _ subject: String = "") throws(SystemFailure) {
        guard result >= 0 else { throw SystemFailure(operation, subject, errno: -result) }
    }
}

extension SeccompProfile.Action {
    /// SCMP_ACT_*, which are macros with arguments or casts.
    var code: UInt32 {
        switch self {
        case .allow: 0x7FFF_0000
        case .killProcess: 0x8000_0000
        case .killThread: 0
        case .trap: 0x0003_0000
        case .log: 0x7FFC_0000
        case .error(let number): 0x0005_0000 | UInt32(truncatingIfNeeded: number) & 0xFFFF
        case .trace(let number): 0x7FF0_0000 | number & 0xFFFF
        }
    }
}

extension SeccompProfile.Comparison {
    var code: scmp_compare {
        switch self {
        case .notEqual: SCMP_CMP_NE
        case .less: SCMP_CMP_LT
        case .lessOrEqual: SCMP_CMP_LE
        case .equal: SCMP_CMP_EQ
        case .greaterOrEqual: SCMP_CMP_GE
        case .greater: SCMP_CMP_GT
        case .maskedEqual: SCMP_CMP_MASKED_EQ
        }
    }
}
