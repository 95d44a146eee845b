extension WatchHubStateMachineTests {
    static let scripts: [Script] = [
        // MARK: Who gets what
        Script("nobody subscribed", "commit 1 pods/d/a →"),
        Script("a live subscriber gets a commit", "sub A pods", "replayed A → live", "commit 1 pods/d/a → A:1@1"),
        Script("another resource is none of its business", "sub A pods", "replayed A", "commit 1 nodes//a →"),
        Script("a resource whose name begins alike is another one", "sub A pod", "replayed A", "commit 1 pods/d/a →"),
        Script("several events of a commit come as one batch", "sub A pods", "replayed A", "commit 1 pods/d/a, 2 pods/d/b → A:1+2@2"),
        Script(
            "a mixed commit is split by resource", "sub A pods", "sub B nodes", "replayed A", "replayed B",
            "commit 1 pods/d/a, 2 nodes//n, 3 pods/d/a → A:1+3@3 B:2@3"),
        Script("a batch says how far the commit went", "sub A pods", "replayed A", "commit 1 pods/d/a, 2 nodes//n → A:1@2"),
        Script("two subscribers get the same", "sub A pods", "sub B pods", "replayed A", "replayed B", "commit 1 pods/d/a → A:1@1 B:1@1"),
        Script("a namespace", "sub A pods n=x", "replayed A", "commit 1 pods/d/a, 2 pods/x/a → A:2@2"),
        Script("a namespace without events in the commit", "sub A pods n=x", "replayed A", "commit 1 pods/d/a →"),
        Script(
            "two namespaces", "sub A pods n=x", "sub B pods n=y", "replayed A", "replayed B", "commit 1 pods/y/a, 2 pods/x/a → A:2@2 B:1@2"),
        Script("the empty namespace is a namespace", "sub A nodes n=", "replayed A", "commit 1 nodes//a → A:1@1"),
        Script("a name in a namespace", "sub A pods n=x m=a", "replayed A", "commit 1 pods/x/b, 2 pods/y/a, 3 pods/x/a → A:3@3"),
        Script("a name in any namespace", "sub A pods m=a", "replayed A", "commit 1 pods/x/b, 2 pods/y/a, 3 pods/x/a → A:2+3@3"),
        Script("a name in any namespace, none there", "sub A pods m=a", "replayed A", "commit 1 pods/x/b →"),
        Script(
            "all kinds of interest at once", "sub A pods", "sub B pods n=x", "sub C pods n=x m=a", "sub D pods m=a",
            "replayed A", "replayed B", "replayed C", "replayed D", "commit 1 pods/x/a, 2 pods/x/b → A:1+2@2 B:1+2@2 C:1@2 D:1@2"),

        // MARK: Replay
        Script(
            "what is committed during the replay waits", "sub A pods", "commit 1 pods/d/a →", "replayed A → deliver 1@1",
            "replayed A → live"),
        Script(
            "waiting commits come together and in order", "sub A pods", "commit 1 pods/d/a", "commit 2 pods/d/b, 3 pods/d/c",
            "replayed A → deliver 1+2+3@3", "replayed A → live", "commit 4 pods/d/a → A:4@4"),
        Script(
            "a commit between two steps of the replay waits too", "sub A pods", "commit 1 pods/d/a", "replayed A → deliver 1@1",
            "commit 2 pods/d/a →", "replayed A → deliver 2@2", "replayed A → live"),
        Script("what does not match does not wait", "sub A pods n=x", "commit 1 pods/d/a", "replayed A → live"),
        Script(
            "who replays holds nobody up", "sub A pods", "sub B pods", "replayed B", "commit 1 pods/d/a → B:1@1", "replayed A → deliver 1@1"
        ),
        Script("live only after the replay", "sub A pods", "live A → false", "replayed A", "live A → true"),
        Script("a replay is over once", "sub A pods", "replayed A → live", "replayed A → gone"),
        Script("replay of an unknown subscriber", "replayed A → gone"),

        // MARK: The bound
        Script("up to the limit", "sub A pods limit=2", "replayed A", "commit 1 pods/d/a → A:1@1", "commit 2 pods/d/a → A:2@2"),
        Script("one more ends it", "sub A pods limit=2", "replayed A", "commit 1 pods/d/a, 2 pods/d/a", "commit 3 pods/d/a → A:overflowed"),
        Script(
            "a large commit ends it at once, without half of it", "sub A pods limit=2", "replayed A",
            "commit 1 pods/d/a, 2 pods/d/a, 3 pods/d/a → A:overflowed"),
        Script(
            "who overflowed is gone", "sub A pods limit=1", "replayed A", "commit 1 pods/d/a, 2 pods/d/b → A:overflowed", "count → 0",
            "commit 3 pods/d/a →"),
        Script(
            "an overflow is one subscriber's affair", "sub A pods limit=1", "sub B pods", "replayed A", "replayed B",
            "commit 1 pods/d/a, 2 pods/d/b → A:overflowed B:1+2@2"),
        Script(
            "draining makes room", "sub A pods limit=2", "replayed A", "commit 1 pods/d/a, 2 pods/d/a", "drain A 2",
            "commit 3 pods/d/a, 4 pods/d/a → A:3+4@4"),
        Script(
            "draining in part makes room in part", "sub A pods limit=2", "replayed A", "commit 1 pods/d/a, 2 pods/d/a", "drain A 1",
            "commit 3 pods/d/a → A:3@3", "commit 4 pods/d/a → A:overflowed"),
        Script(
            "draining more than there is gives no credit", "sub A pods limit=1", "replayed A", "drain A 100",
            "commit 1 pods/d/a, 2 pods/d/a → A:overflowed"),
        Script(
            "the replay comes on top of the limit", "sub A pods limit=1 replay=5", "replayed A", "commit 1 pods/d/a → A:1@1",
            "commit 2 pods/d/a → A:overflowed"),
        Script(
            "events that wait count", "sub A pods limit=1", "commit 1 pods/d/a", "commit 2 pods/d/a →", "replayed A → end overflowed",
            "count → 0"),
        Script(
            "an overflow during the replay is told once and by the replaying thread", "sub A pods limit=1",
            "commit 1 pods/d/a, 2 pods/d/a →",
            "commit 3 pods/d/a →", "replayed A → end overflowed", "replayed A → gone"),
        Script("a limit of nothing", "sub A pods limit=0", "replayed A", "commit 1 nodes//a →", "commit 2 pods/d/a → A:overflowed"),

        // MARK: Ends
        Script("cancelled while live", "sub A pods", "replayed A", "cancel A → true", "commit 1 pods/d/a →", "live A → false"),
        Script("cancelled during the replay", "sub A pods", "commit 1 pods/d/a", "cancel A → true", "replayed A → gone", "count → 0"),
        Script("cancelled twice", "sub A pods", "cancel A → true", "cancel A → false"),
        Script("cancelled after an overflow", "sub A pods limit=0", "replayed A", "commit 1 pods/d/a → A:overflowed", "cancel A → false"),
        Script(
            "cancelling one leaves the other of the same interest", "sub A pods n=x", "sub B pods n=x", "replayed A", "replayed B",
            "cancel A",
            "commit 1 pods/x/a → B:1@1"),
        Script(
            "cancelling each kind of interest leaves nothing", "sub A pods", "sub B pods n=x", "sub C pods n=x m=a", "sub D pods m=a",
            "cancel A", "cancel B", "cancel C", "cancel D", "count → 0", "commit 1 pods/x/a →"),
        Script(
            "closing tells who is live", "sub A pods", "sub B nodes", "replayed A", "replayed B", "close → A:closed B:closed", "count → 0"),
        Script("closing during a replay is told after it", "sub A pods", "close →", "replayed A → end closed"),
        Script("closing loses to an overflow", "sub A pods limit=0", "commit 1 pods/d/a", "close →", "replayed A → end overflowed"),
        Script("closed means closed", "close →", "sub A pods → refused", "commit 1 pods/d/a →"),
        Script("draining a stranger", "drain A 5", "count → 0"),
    ]
}
