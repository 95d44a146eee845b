import Testing

@testable import ImageBuilder

@Suite struct DockerfileTests {
    @Test func linesAreJoinedAndCommentsDropped() throws {
        let file = try Dockerfile(
            parsing: """
                # syntax=docker/dockerfile:1
                # escape=`
                ARG BASE=scratch
                FROM --platform=linux/amd64 ${BASE} AS build
                # a comment
                RUN one `
                  # inside
                  && two
                COPY --from=other --chown=1:2 ["a b", "/c/"]
                FROM scratch
                copy <<EOF /etc/motd
                hello $NAME
                EOF
                CMD ["x", "y"]
                """)
        #expect(file.escape == "`")
        #expect(file.globals.map(\.text) == ["BASE=scratch"])
        #expect(file.stages.map(\.name) == ["build", nil])
        #expect(file.stages[0].platform == "linux/amd64")
        #expect(file.stages[0].instructions[0].text == "one   && two")
        #expect(file.stages[0].instructions[1].exec == ["a b", "/c/"])
        #expect(file.stages[0].instructions[1].flag("chown") == "1:2")
        #expect(file.stages[1].instructions[0].heredocs == [Heredoc(name: "EOF", content: "hello $NAME\n", expands: true)])
        #expect(file.stages[1].instructions[1].line == 14)
    }

    @Test(arguments: [
        ("", 0, "file with no instructions"), ("RUN x", 1, "no build stage in current context"),
        ("FROM a\nFOO x", 2, "unknown instruction: FOO"),
        ("FROM a b", 1, "FROM requires either one or three arguments"), ("FROM a\nCOPY <<E /x\ny", 2, "unterminated heredoc"),
        ("FROM a\n\nENV", 3, "ENV requires at least one argument"), ("# escape=x\nFROM a", 1, "invalid escape token"),
    ])
    func faultsNameTheirLine(_ text: String, _ line: Int, _ words: String) {
        #expect { try Dockerfile(parsing: text) } throws: { error in
            (error as? BuildError).map { $0.line == line && $0.message.contains(words) } ?? false
        }
    }

    @Test(arguments: [
        ("$A", "1"), ("${A}x", "1x"), ("'$A'", "$A"), ("\"$A b\"", "1 b"), ("\\$A", "$A"), ("${B:-d}", "d"), ("${B-d}", "d"),
        ("${E:-d}", "d"), ("${E-d}", ""),
        ("${A:+y}", "y"), ("${B:+y}", ""), ("${B:-${A}}", "1"), ("$B", ""), ("a$", "a$"), ("$A$A", "11"),
    ])
    func variablesExpandAsInAShell(_ text: String, _ expected: String) throws {
        #expect(try Words(escape: "\\", variables: ["A": "1", "E": ""], line: 1).expand(text) == expected)
    }

    @Test func wordsAndPairsAreSplit() throws {
        let words = Words(escape: "\\", variables: ["A": "1 2"], line: 1)
        #expect(try words.split("a $A 'b c' d\\ e") == ["a", "1 2", "b c", "d e"])
        #expect(try words.pairs("a=$A b=\"x y\" c=").map { "\($0.0)>\($0.1)" } == ["a>1 2", "b>x y", "c>"])
        #expect(try words.pairs("old way of it").map { "\($0.0)>\($0.1)" } == ["old>way of it"])
        #expect { try words.expand("${B:?must be set}") } throws: { "\($0)".contains("must be set") }
    }

    @Test(arguments: [
        ("*", "a/b", true), ("*\n!build/app", "build/app", false), ("*\n!build/app", "build/other", true), ("**/*.o", "a/b/c.o", true),
        ("*.o", "a/c.o", false),
        ("a/", "a/b/c", true), ("# x\n\n/top", "top", true), ("node_modules", "x/node_modules", false), ("a\n!a/b", "a/b/c", false),
    ])
    func ignoreRulesMatchAsDockers(_ rules: String, _ path: String, _ expected: Bool) {
        #expect(IgnoreRules(rules).ignores(path.split(separator: "/").map(String.init)) == expected)
    }
}
