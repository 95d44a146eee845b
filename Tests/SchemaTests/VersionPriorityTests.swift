import Schema
import Testing

@Suite struct VersionPriorityTests {
    @Test func releasedVersionsComeFirstAndNewerBeforeOlder() {
        let versions = ["foo10", "v1", "v12alpha1", "v2", "v11beta2", "foo1", "v10beta3", "v3beta1", "v10", "v11alpha2", "v2beta", "v1beta"]
        let sorted = versions.sorted { VersionPriority($0) < VersionPriority($1) }
        #expect(sorted == ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10", "v1beta", "v2beta"])
    }
}
