import Core
import Glibc
import Linux
import Testing

@testable import Containers

struct UserLookupTests {
    private let users = UserLookup(
        passwd: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n1234:x:5:6::/n:/bin/sh\n",
        group: "root:x:0:\napp:x:1001:\nwheel:x:10:root,app\nextra:x:20:app\n")

    @Test(
        arguments: [
            ("", 0, 0, [10], "/root"), ("app", 1000, 1001, [10, 20], "/home/app"), ("1000", 1000, 1001, [10, 20], "/home/app"),
            ("app:wheel", 1000, 10, [], "/home/app"),
            ("77", 77, 0, [], "/"), ("77:88", 77, 88, [], "/"), ("1234", 5, 6, [], "/n"),
        ] as [(String, UInt32, UInt32, [UInt32], String)])
    func usersAreFoundAsInOtherRuntimes(text: String, uid: UInt32, gid: UInt32, groups: [UInt32], home: String) throws {
        let found = try users.resolve(text)
        #expect(found.user == ContainerUser(uid: uid, gid: gid, groups: groups) && found.home == home)
    }

    @Test func namesWithoutAnEntryAreRefused() {
        let failure = #expect(throws: SystemFailure.self) { _ = try users.resolve("nobody") }
        #expect(failure?.hint == "unable to find user nobody: no matching entries in passwd file")
        #expect(throws: SystemFailure.self) { _ = try users.resolve("app:staff") }
    }

    @Test func recordsSurviveARoundTrip() {
        var out = RecordWriter()
        out.put(1, [7, 8], ["a", "", "c\0d"])
        out.put(2, [], [])
        out.put(3, [9], raw: [1, 2, 3])
        let records = Array(RecordReader(out.bytes))
        #expect(records.map(\.tag) == [1, 2, 3] && records[0].numbers == [7, 8] && records[0].strings == ["a", "", "cd"])
        #expect(Array(records[2].payload) == [1, 2, 3])
        #expect(Array(RecordReader(Array(out.bytes.dropLast(3)))).count == 2)
    }
}
