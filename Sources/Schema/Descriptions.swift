import CAssets

/// One short line on each type and field, for `kubectl explain`. Read from the text in the binary when documents are made and let
/// go with them: nothing stays in memory.
///
/// The text: a line `Type  words`, then indented `field  words` of it. The block `*` says what fields of a name mean wherever
/// their type says nothing. A type may be qualified by its group's package: `events/v1.Event`.
package struct Descriptions {
    private var types: [String: Block] = [:]
    private var general: [String: String] = [:]

    private struct Block {
        var words = ""
        var fields: [String: String] = [:]
    }

    package init() {
        let asset = jangada_descriptions()
        let text = String(decoding: UnsafeBufferPointer(start: asset.bytes, count: asset.length), as: UTF8.self)
        self.init(text: text)
    }

    package init(text: String) {
        var name = ""
        var block = Block()
        func close(_ types: inout [String: Block], _ general: inout [String: String]) {
            if name == "*" { general = block.fields } else if !name.isEmpty { types[name] = block }
        }
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let isField = line.hasPrefix(" ")
            let trimmed = line.drop { $0 == " " }
            let key = trimmed.prefix { $0 != " " }
            let words = String(trimmed.dropFirst(key.count).drop { $0 == " " })
            if isField {
                block.fields[String(key)] = words
            } else {
                close(&types, &general)
                name = String(key)
                block = Block(words: words)
            }
        }
        close(&types, &general)
    }

    /// Empty where nothing is said.
    package func type(_ message: Message) -> String { block(message)?.words ?? "" }

    package func field(_ name: String, of message: Message) -> String { block(message)?.fields[name] ?? general[name] ?? "" }

    private func block(_ message: Message) -> Block? { types[message.name] ?? types[String(message.typeName)] }

    /// Of all the words only those on fields of these names, whatever the type.
    package func general(_ names: [String]) -> Descriptions {
        var out = Descriptions(text: "")
        out.general = general.filter { names.contains($0.key) }
        return out
    }

    /// How many of a graph's fields have a line, and how many fields there are.
    package func coverage(of graph: Graph) -> (described: Int, fields: Int) {
        var (described, count) = (0, 0)
        for message in graph.messages where !message.openAPIPrefix.isEmpty {
            for index in message.fields {
                count += 1
                if !field(graph.fields[index].name, of: message).isEmpty { described += 1 }
            }
        }
        return (described, count)
    }
}
