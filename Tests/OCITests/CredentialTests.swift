import Core
import Testing
import Transport

@testable import OCI

@Suite struct CredentialTests {
    func found(_ locations: [String], _ image: String) throws -> [String] {
        var keyring = RegistryKeyring()
        for location in locations { keyring.add(location, RegistryAuth(username: location, password: "p")) }
        return keyring.lookup(try ImageReference(image: image)).map(\.username)
    }

    @Test(arguments: [
        (["https://index.docker.io/v1/"], "nginx", 1), (["docker.io"], "me/app", 1), (["*.example.com"], "a.example.com/x", 1),
        (["*.example.com"], "a.b.example.com/x", 0), (["example.com:5000"], "example.com/x", 0),
        (["example.com:5000"], "example.com:5000/x", 1),
        (["example.com/team"], "example.com/team/app", 1), (["example.com/team"], "example.com/other/app", 0),
        (["http://example.com/v2/"], "example.com/x", 1),
        (["reg[0-9].io"], "reg7.io/x", 1), (["reg?.io"], "reg77.io/x", 0),
    ])
    func credentialsMatchAsKubeletMatchesThem(_ locations: [String], _ image: String, _ count: Int) throws {
        #expect(try found(locations, image).count == count)
    }

    @Test func theMostSpecificComesFirst() throws {
        #expect(try found(["quay.io", "quay.io/coreos"], "quay.io/coreos/etcd") == ["quay.io/coreos", "quay.io"])
    }

    @Test func dockerConfigsAreRead() throws {
        var keyring = RegistryKeyring()
        try keyring.add(
            dockerConfig: Array(#"{"auths":{"a.io":{"auth":"dTpwOnE="},"b.io":{"username":"u","password":"p"},"c.io":{}}}"#.utf8))
        #expect(keyring.lookup("a.io/x") == [RegistryAuth(username: "u", password: "p:q")])
        #expect(keyring.lookup("b.io/x").count == 1 && keyring.lookup("c.io/x").isEmpty)
        #expect(throws: ImageError.self) { try keyring.add(dockerConfig: Array("nonsense".utf8)) }
    }

    @Test func challengesAreReadWhateverTheirForm() {
        let one = AuthChallenge.parse(#"Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a/b:pull,push", Basic realm="r""#)
        #expect(one.map(\.scheme) == ["bearer", "basic"])
        #expect(one[0].parameters == ["realm": "https://a/t?x=1,2", "service": "s", "scope": "repository:a/b:pull,push"])
        #expect(AuthChallenge.parse("").isEmpty && AuthChallenge.parse(",,=,\"").count <= 1)
    }
}
