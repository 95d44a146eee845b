/// Why a patch cannot be read or applied, in upstream's words and with the status it answers.
package struct PatchFailure: Error, Equatable, CustomStringConvertible {
    package let code: Int
    package let description: String

    package init(code: Int, description: String) {
        self.code = code
        self.description = description
    }

    static func malformed(_ text: String) -> PatchFailure { PatchFailure(code: 400, description: text) }
    static func inapplicable(_ text: String) -> PatchFailure { PatchFailure(code: 422, description: text) }

    /// As the API answers it.
    package var apiError: APIError {
        switch code {
        case 400: return .badRequest(description)
        case 413: return .tooLarge(description)
        case 422:
            return APIError(code: 422, reason: "Invalid", message: "the server rejected our request due to an error in our request",
                details: .init())
        default: return APIError(code: code, reason: "", message: description)
        }
    }
}
