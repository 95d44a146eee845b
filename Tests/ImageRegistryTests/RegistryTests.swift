import Core
import Testing
import Transport
import Tree

@testable import ImageRegistry
@testable import OCI
