import Client
import Core
import Machinery
import Schema
import Testing
import Tree

@testable import Controllers

/// Cases under `Fixtures/<controller>/<case>.in.yaml` and `.out.yaml`: the objects of a cluster, and what the controller's plan
/// for one key does. `JANGADA_UPDATE_FIXTURES=1` in the environment writes the `.out.yaml` files anew; read the diff.
///
/// The first document of an input is `{plan: namespace/name}`. Objects without uid, resourceVersion, namespace and creation time
/// get some. `<now>`, `<now-30s>` and `<now+1h>` are times. Outputs show a replaced object as what changed in it.
@Suite struct FixtureTests {
    static let controllers: [String: any Controller] = [
        "replicaset": ReplicaSets(), "replicationcontroller": ReplicaSets(.replicationController), "deployment": Deployments(),
        "endpointslice": EndpointSlices(), "endpoints": Endpoints(), "namespacedefaults": ServiceAccounts(), "nodelifecycle": NodeLifecycle(start: Fixture.now + .seconds(-3600)),
        "tainteviction": TaintEviction(), "daemonset": DaemonSets(), "statefulset": StatefulSets(), "job": Jobs(), "cronjob": CronJobs(), "disruption": DisruptionBudgets(),
        "clusterrole": ClusterRoleAggregation(), "serviceaddresses": ServiceAddresses(), "attachdetach": VolumeAttachments(), "joborphans": OrphanedJobPods(),
        "volumebinder": VolumeBinder(), "endpointslicemirroring": EndpointSliceMirrors(),
    ]

    @Test(arguments: Fixture.all) func planIsAsWritten(_ fixture: Fixture) throws {
        let controller = try #require(FixtureTests.controllers[fixture.controller], "no controller for this folder")
        let (key, state) = try fixture.load(for: controller)
        let plan = controller.plan(key, state, now: Fixture.now)
        let text = fixture.render(plan, state)
        if Fixture.updates { try fixture.write(text) } else { #expect(text == (try fixture.expected()), "\(fixture)") }
    }
}
