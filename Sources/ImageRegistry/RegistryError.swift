import OCI
package import Tree

/// An error of the distribution API: its code decides the status, and both decide how clients word it.
package struct RegistryError: Error, Sendable, Equatable {
    package enum Code: String, Sendable {
        case blobUnknown = "BLOB_UNKNOWN"
        case blobUploadInvalid = "BLOB_UPLOAD_INVALID"
        case blobUploadUnknown = "BLOB_UPLOAD_UNKNOWN"
        case denied = "DENIED"
        case digestInvalid = "DIGEST_INVALID"
        case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
        case manifestInvalid = "MANIFEST_INVALID"
        case manifestUnknown = "MANIFEST_UNKNOWN"
        case nameInvalid = "NAME_INVALID"
        case nameUnknown = "NAME_UNKNOWN"
        case paginationInvalid = "PAGINATION_NUMBER_INVALID"
        case rangeInvalid = "RANGE_INVALID"
        case sizeInvalid = "SIZE_INVALID"
        case tagInvalid = "TAG_INVALID"
        case tooManyRequests = "TOOMANYREQUESTS"
        case unauthorized = "UNAUTHORIZED"
        case unknown = "UNKNOWN"
        case unsupported = "UNSUPPORTED"
    }

    package let code: Code
    package let message: String
    package let detail: Node
    /// The registry's disk is full: the specification has no code for it.
    private let isFull: Bool

    /// No room for what was sent; nothing of it counts as received.
    package static let full = RegistryError(.unknown, "no space is left on the registry's disk; free some and push again", isFull: true)

    package init(_ code: Code, _ message: String? = nil, detail: Node = .null) { self.init(code, message, detail: detail, isFull: false) }

    private init(_ code: Code, _ message: String?, detail: Node = .null, isFull: Bool) {
        self.isFull = isFull
        self.code = code
        self.message = message ?? RegistryError.text(code)
        self.detail = detail
    }

    package var status: Int {
        switch code {
        case .unknown where isFull: 507
        case .blobUnknown, .blobUploadUnknown, .manifestUnknown, .nameUnknown: 404
        case .unauthorized: 401
        case .denied: 403
        case .unsupported: 405
        case .rangeInvalid: 416
        case .sizeInvalid: 413
        case .tooManyRequests: 429
        case .unknown: 500
        default: 400
        }
    }

    package var body: [UInt8] {
        var item: Node = ["code": .string(code.rawValue), "message": .string(message)]
        if !detail.isNull { item["detail"] = detail }
        return JSONWriter.write(["errors": [item]])
    }

    private static func text(_ code: Code) -> String {
        switch code {
        case .blobUnknown: "blob unknown to registry"
        case .blobUploadInvalid: "blob upload invalid"
        case .blobUploadUnknown: "blob upload unknown to registry"
        case .denied: "requested access to the resource is denied"
        case .digestInvalid: "provided digest did not match uploaded content"
        case .manifestBlobUnknown: "blob unknown to registry"
        case .manifestInvalid: "manifest invalid"
        case .manifestUnknown: "manifest unknown"
        case .nameInvalid: "invalid repository name"
        case .nameUnknown: "repository name not known to registry"
        case .paginationInvalid: "invalid number of results requested"
        case .rangeInvalid: "invalid content range"
        case .sizeInvalid: "provided length did not match content length"
        case .tagInvalid: "manifest tag did not match URI"
        case .tooManyRequests: "too many requests"
        case .unauthorized: "authentication required"
        case .unknown: "unknown error"
        case .unsupported: "The operation is unsupported."
        }
    }
}
