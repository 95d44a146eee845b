import Glibc
import Testing

@testable import Linux

struct SeccompTests {
    @Test func theDefaultProfileCompilesToAProgram() throws {
        let filter = try SeccompProfile.runtimeDefault(capabilities: CapabilitySets.standard.bounding).compile()
        #expect(filter.program.count > 1000 && filter.program.count % 8 == 0 && filter.program.count / 8 < 4096)
    }

    @Test func privilegesOpenMoreCalls() {
        let few = SeccompProfile.runtimeDefault(capabilities: 0)
        let many = SeccompProfile.runtimeDefault(capabilities: CapabilitySets.all.bounding)
        func allows(_ profile: SeccompProfile, _ name: String) -> Bool {
            profile.rules.contains { $0.names.contains(name) && $0.action == .allow && $0.conditions.isEmpty }
        }
        #expect(!allows(few, "mount") && !allows(few, "unshare") && !allows(few, "bpf") && !allows(few, "clone"))
        #expect(allows(many, "mount") && allows(many, "unshare") && allows(many, "bpf") && allows(many, "clone"))
    }

    @Test func namesUnknownToTheLibraryAreSkipped() throws {
        let profile = SeccompProfile(standard: .allow, rules: [.init(["no_such_call", "reboot"], .error(EPERM))])
        #expect(!(try profile.compile().program.isEmpty))
    }
}
