import Testing
import Tree

@Test func writingAPathMakesTheMapsOnTheWay() {
    var node = Node.null
    node["spec"]["replicas"] = 3
    #expect(node["spec"]["replicas"].int == 3)
    node["spec"]["replicas"] = .null
    #expect(!node["spec"].has("replicas"))
}
