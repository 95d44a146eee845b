import ArgumentParser
import Core
import Linux
import Platform
import Testing
import Tree

@testable import jangada

@Suite struct CommandLineTests {
    @Test(arguments: [
        ["up", "--nodes", "3"], ["down", "--keep"], ["reset", "--yes"], ["status", "-o", "json"], ["kubeconfig", "--merge"], ["logs", "-f"],
        ["registry", "create", "shop"], ["registry", "credentials", "rotate", "abc"], ["registry", "alias", "add", "example.com"],
        ["build", "-t", "a:1", "--build-arg", "V=1", "."], ["image", "push", "localhost:5000/shop/app:1"], ["image", "load", "-"],
        ["demo", "--kill-daemon"], ["completion", "zsh"], ["version", "-o", "yaml"],
    ])
    func isUnderstood(_ arguments: [String]) throws {
        _ = try Jangada.parseAsRoot(arguments)
    }

    @Test(arguments: [
        ["up", "--nodes", "101"], ["up", "--port", "70000"], ["up", "--name", "No"], ["status", "-o", "xml"], ["kubeconfig", "--merge", "--print"],
        ["build", "."], ["image", "push", "--user", "ana", "x"], ["completion", "tcsh"], ["nothing"],
    ])
    func isRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) { try Jangada.parseAsRoot(arguments) }
    }

    @Test func everyCommandSaysWhatItIsForAndShowsAnExample() {
        func check(_ command: any ParsableCommand.Type) {
            #expect(!command.configuration.abstract.isEmpty, "\(command)")
            #expect(command.configuration.discussion.contains("Example") || command == CompletionCommand.self, "\(command)")
            for child in command.configuration.subcommands { check(child) }
        }
        check(Jangada.self)
    }

    @Test func everyCommandOnAClusterTakesItsName() throws {
        for words in [["up"], ["down"], ["reset"], ["status"], ["kubeconfig"], ["logs"], ["demo"], ["server"], ["image", "list"], ["registry", "list"]] {
            _ = try Jangada.parseAsRoot(words + ["--name", "loja"])
            #expect(throws: (any Error).self) { try Jangada.parseAsRoot(words + ["--name", "-Loja"]) }
        }
    }

    @Test func directoriesFollowFromTheName() throws {
        func directory(_ words: String...) throws -> StateDirectory { try ClusterOptions.parse(words).directory }
        #expect(try directory().root == "/var/lib/jangada" && directory().run == "/run/jangada")
        #expect(try directory("--name", "loja").root == "/var/lib/jangada-loja" && directory("--name", "loja").run == "/run/jangada-loja")
        #expect(try directory("--state", "/a//b/./c/").root == "/a/b/c" && directory("--state", "/a").run == "/a/run")
        #expect(try ClusterOptions.parse(["--name", "loja"]).command("up") == "sudo jangada up --name loja")
    }

    @Test func numbersGiveEveryClusterRangesOfItsOwn() throws {
        var seen: [IPPrefix] = []
        for index in 0..<ClusterIndex.count {
            var settings = ClusterSettings()
            settings.index = index
            let ranges = try #require(settings.ranges)
            for range in [ranges.nodes, ranges.loadBalancers, ranges.pods, ranges.services] {
                #expect(!seen.contains { $0.overlaps(range) }, "\(index): \(range)")
                seen.append(range)
            }
        }
        var settings = ClusterSettings()
        settings.index = ClusterIndex.count
        #expect(settings.ranges == nil)
    }

    @Test func buildArgumentsAreNamesAndValues() throws {
        #expect(try BuildCommand.pairs(["A=1", "B=x=y", "C="]) == ["A": "1", "B": "x=y", "C": ""])
        #expect(throws: ValidationError.self) { try BuildCommand.pairs(["=1"]) }
    }

    @Test func tablesAlignTheirColumns() {
        var table = TextTable("NAME", "SIZE")
        table.add("checkout-api", "1 kB")
        table.add("x", "")
        #expect(table.rendered() == "NAME           SIZE\ncheckout-api   1 kB\nx              -\n")
    }

    @Test func numbersAreWordedForPeople() {
        #expect(Words.bytes(999) == "999 B")
        #expect(Words.bytes(1_500_000) == "1.5 MB")
        #expect(Words.duration(.milliseconds(420)) == "0.42 s")
        #expect(Words.duration(.seconds(185)) == "3 min 05 s")
        #expect([0, 119, 120, 7199, 7200, 200_000].map { Words.age($0) } == ["0s", "119s", "2m", "119m", "2h", "2d"])
    }

    @Test func theTailOfALogHasThatManyLines() {
        #expect(LogsCommand.tail(Array("a\nb\nc\n".utf8), 2) == Array("b\nc\n".utf8))
        #expect(LogsCommand.tail(Array("a\n".utf8), 5) == Array("a\n".utf8))
        #expect(LogsCommand.tail([], 5) == [])
    }

    @Test func homesComeFromThePasswdFile() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\nbroken\n"
        #expect(InvokingUser.home(of: 1000, passwd: passwd) == "/home/ana")
        #expect(InvokingUser.home(of: 7, passwd: passwd) == nil)
    }
}

@Suite struct KubeconfigMergeTests {
    private func admin(_ server: String) -> Kubeconfig {
        Kubeconfig(node: [
            "clusters": [["name": "jangada", "cluster": ["server": .string(server)]]], "contexts": [["name": "jangada"]],
            "current-context": "jangada", "users": [["name": "jangada"]],
        ])
    }

    @Test func mergingKeepsOtherClustersAndTakingOutLeavesThem() throws {
        let directory = "/tmp/jangada-test-\(Identifier.suffix(8))"
        defer { try? FileSystem.removeTree(directory) }
        let user = InvokingUser(user: 0, group: 0, home: directory)
        let mine = UserKubeconfig(path: "\(directory)/.kube/config", user: user)
        try mine.merge(admin("https://127.0.0.1:1"))
        #expect(try FileSystem.status(mine.path)?.permissions == 0o600)
        var config = try Kubeconfig(path: mine.path)
        config.node["clusters"].append(["name": "other"])
        config.node["contexts"].append(["name": "other"])
        try config.write(mine.path)
        try mine.merge(admin("https://127.0.0.1:2"))
        let merged = try Kubeconfig(path: mine.path).node
        #expect(merged["clusters"].list.map { $0["name"].string } == ["jangada", "other"])
        #expect(merged["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:2")
        #expect(merged["current-context"] == "jangada")
        try mine.remove("jangada")
        #expect(try Kubeconfig(path: mine.path).node["contexts"].list.map { $0["name"].string } == ["other"])
    }

    @Test func aBrokenFileIsLeftAsItIs() throws {
        let path = "/tmp/jangada-test-\(Identifier.suffix(8))"
        defer { try? FileSystem.unlink(path) }
        let broken = Array("a: [\n".utf8)
        try FileSystem.writeAtomically(path, broken)
        let mine = UserKubeconfig(path: path, user: InvokingUser(user: 0, group: 0, home: "/tmp"))
        #expect(throws: CommandFailure.self) { try mine.merge(admin("x")) }
        #expect(try FileSystem.readFile(path) == broken)
    }
}
